"""Free ports on loopback addresses."""

from __future__ import annotations

import socket
from random import SystemRandom

_RANGE = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections: nobody takes the port of a service that is down, and a
client that tries it again and again cannot end up connected to itself."""
_TRIES = 200


class NoFreePort(Exception):
    """Two hundred ports in a row were taken."""


_given: set[int] = set()
"""By this process. Services choose theirs before any of them listens: of 25 random ports two are the same in one
cluster of forty."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on right now, and that was not given before."""
    choose = SystemRandom().choice
    for _ in range(_TRIES):
        port = choose(_RANGE)
        if port not in _given and is_free(host, port):
            _given.add(port)
            return port
    raise NoFreePort(f"no free port found on {host}")


def is_free(host: str, port: int) -> bool:
    """Whether one could listen on this port right now."""
    with socket.socket() as probe:
        # As servers do, so that connections which just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
