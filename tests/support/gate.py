"""A network that can be cut: a TCP relay in front of a server, which loses every connection when it is shut."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType

_CHUNK = 65_536


class Gate:
    """Relays 127.0.0.1:`port` to another local port while it is open. Shut, it refuses whoever knocks."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._lock = Lock()
        self._listener: socket.socket | None = None
        self._relayed: set[socket.socket] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> Gate:
        """Listen, on the same port as before. Raises OSError."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def shut(self) -> None:
        """Cut every connection at once and take no new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            cut, self._relayed = self._relayed, set()
        for one in [listener, *cut]:
            if one is not None:
                _end(one)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # shut
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                is_open = self._listener is listener
                if is_open:
                    self._relayed |= {near, far}
            if not is_open:
                _end(near)
                _end(far)
                return
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        except OSError:
            pass  # cut, or one side went away: both ends learn of it below
        with self._lock:
            self._relayed -= {source, sink}
        _end(source)
        _end(sink)

    def __enter__(self) -> Gate:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)  # wakes whoever waits on it in another thread
    one.close()
