"""One connection of a process to a Cassandra cluster, made on first use and made anew when it is lost for good.

Statements run on the driver's own thread. A whole group of them costs the event loop one wake-up.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import DCAwareRoundRobinPolicy, ExponentialReconnectionPolicy, RetryPolicy, TokenAwarePolicy
from cassandra.query import tuple_factory

from commands.errors import Unavailable
from infra.cassandra.burst import Burst, Row, Slots
from infra.cassandra.disk import wait_s
from infra.cassandra.errors import translate, translated

_RECONNECT_S = (0.1, 2.0)
"""The driver's pauses between two attempts to reach a node: first and longest."""
_RENEW_AFTER_S = 30.0
"""After so long without any node the driver is started anew, which asks for the nodes' addresses again."""
_RETRY_S = 0.5
"""How long a failed attempt to connect answers for others too."""
_HEARTBEAT_S = 5
_REPEATS = 2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a cluster is, and how long to wait for it."""

    hosts: tuple[str, ...]
    port: int = 9042
    local_dc: str | None = None
    """The data centre whose nodes are asked. There may be several only where it is named: a quorum of one says nothing
    about another, so who folds and who reads must use the same (ADR 0061)."""
    user: str | None = None
    password: str | None = None
    timeout_s: float = 5.0
    """For one statement."""
    at_once: int = 16
    """Statements that may be under way."""


class Link:
    """A connected session and the statements prepared on it."""

    def __init__(
        self,
        cluster: Any,
        session: Any,
        at_once: int,
        report: Callable[[BaseException | None], None],
        on_disk_after_s: float = 0.0,
    ) -> None:
        self.cluster = cluster
        self.session = session
        self.on_disk_after_s = on_disk_after_s
        """So long after its acknowledgement a write is on the disks of those who acknowledged it: see `disk`."""
        self._slots = Slots(at_once)
        self._report = report
        self._prepared: dict[str, Any] = {}

    def prepare(self, statements: Sequence[str]) -> None:
        """Blocking. Raises the driver's errors."""
        for statement in statements:
            if statement not in self._prepared:
                self._prepared[statement] = self.session.prepare(statement)

    def has(self, statements: Sequence[str]) -> bool:
        return all(statement in self._prepared for statement in statements)

    def __getitem__(self, statement: str) -> Any:
        """The prepared form of a statement."""
        return self._prepared[statement]

    async def run(self, statements: Sequence[Any]) -> list[list[Row]]:
        """Run statements, some at once and in no order; the rows of each, all pages. Raises Unavailable: then some
        may have been carried out, and some may be still.
        """
        if not statements:
            return []
        try:
            rows = await Burst(self.session, statements, self._slots).run()
        except Exception as error:
            self._report(error)
            raise translate(error) from error
        self._report(None)
        return rows


class Connection:
    """Makes and keeps the one Link. Usable from several event loops; raises Unavailable while no node answers."""

    def __init__(
        self,
        contact: Contact,
        monotonic: Callable[[], float] = time.monotonic,
        make_cluster: Callable[[Contact], Any] | None = None,
    ) -> None:
        """`make_cluster`: the driver's cluster for a contact; tests give their own."""
        self.contact = contact
        self._monotonic = monotonic
        self._make_cluster = make_cluster or cluster_of
        self._link: Link | None = None
        self._opening: Future[Link] | None = None
        self._failed_at: float | None = None
        self._alone_since: float | None = None
        self._lock = threading.Lock()
        # One thread of our own: connecting may take seconds, and the loop's default threads are for others.
        self._thread = ThreadPoolExecutor(1, "cassandra-connect")

    async def link(self, statements: Sequence[str] = ()) -> Link:
        """The link, with these statements prepared. Raises Unavailable."""
        link = self._link
        if link is None:
            link = await _shared(self._open_once())
        if not link.has(statements):
            await _shared(self._thread.submit(self._prepare, link, statements))
        return link

    def link_now(self, statements: Sequence[str] = ()) -> Link:
        """The same, blocking."""
        link = self._link or self._open_once().result()
        if not link.has(statements):
            self._prepare(link, statements)
        return link

    async def execute(self, statement: str) -> None:
        """Run one statement by itself, on the side: for changes of the schema. Raises Unavailable."""
        link = await self.link()
        await _shared(self._thread.submit(self._execute, link, statement))

    def close(self) -> None:
        """Blocks for as long as the driver's threads need to end."""
        self._thread.shutdown(cancel_futures=True)
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.cluster.shutdown()

    # --- on threads ------------------------------------------------------------------------------------------

    def _open_once(self) -> Future[Link]:
        """The attempt that is under way, or one that has just failed, or a new one."""
        with self._lock:
            opening = self._opening
            just_failed = self._failed_at is not None and self._monotonic() < self._failed_at + _RETRY_S
            if opening is None or (opening.done() and not just_failed):
                opening = self._opening = self._thread.submit(self._open)
            return opening

    def _open(self) -> Link:
        if self._link is not None:
            return self._link
        cluster = self._make_cluster(self.contact)
        try:
            with translated():
                session = cluster.connect()
                _check_centre(self.contact.local_dc, {host.datacenter for host in cluster.metadata.all_hosts()})
                on_disk_after_s = wait_s(cluster, session)
            # A write says itself when it happened: no clock has a say.
            session.use_client_timestamp = False
            self._failed_at = self._alone_since = None
            self._link = Link(cluster, session, self.contact.at_once, self._note, on_disk_after_s)
        except BaseException:
            self._failed_at = self._monotonic()
            cluster.shutdown()
            raise
        return self._link

    @staticmethod
    def _prepare(link: Link, statements: Sequence[str]) -> None:
        with translated():
            link.prepare(statements)

    @staticmethod
    def _execute(link: Link, statement: str) -> None:
        with translated():
            link.session.execute(statement, timeout=60.0)

    def _note(self, error: BaseException | None) -> None:
        """Hear how a call went. The driver finds nodes again by itself, but never asks where they are now."""
        if not isinstance(error, NoHostAvailable):
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = self._monotonic()
        elif self._monotonic() > self._alone_since + _RENEW_AFTER_S:
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            link, self._link, self._alone_since = self._link, None, None
        if link is not None:
            self._thread.submit(link.cluster.shutdown)


class _Repeating(RetryPolicy):  # type: ignore[misc]
    """Tries a write again that came too late on the server: all of ours may be repeated, and often half of a group
    was late while the other half was not.
    """

    def on_write_timeout(
        self,
        query: Any,
        consistency: int,
        write_type: int,
        required_responses: int,
        received_responses: int,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """The driver calls with these names."""
        return (self.RETRY, consistency) if retry_num < _REPEATS else (self.RETHROW, None)


def _check_centre(named: str | None, there: Collection[str | None]) -> None:
    """Raises Unavailable where it is not certain that all processes use the same data centre."""
    known = sorted(filter(None, there))
    if named is None and len(known) > 1:
        raise Unavailable(
            f"Cassandra has several data centres ({', '.join(known)}): name the one that all processes of this "
            "installation use in TIDINGS_CASSANDRA_DC"
        )
    if named is not None and known and named not in known:
        raise Unavailable(f"Cassandra has no data centre {named}: TIDINGS_CASSANDRA_DC may name {', '.join(known)}")


async def _shared(future: Future[T]) -> T:
    """Wait for a thread's work, which goes on where the waiting task is cancelled."""
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(waiting)


def cluster_of(contact: Contact) -> Any:
    """The driver's cluster, not yet connected."""
    auth = None
    if contact.user is not None:
        auth = PlainTextAuthProvider(contact.user, contact.password or "")
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(contact.local_dc or "")),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=contact.timeout_s,
        row_factory=tuple_factory,
        retry_policy=_Repeating(),
    )
    return Cluster(
        contact.hosts,
        port=contact.port,
        auth_provider=auth,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ExponentialReconnectionPolicy(*_RECONNECT_S, max_attempts=None),
        idle_heartbeat_interval=_HEARTBEAT_S,
        idle_heartbeat_timeout=_HEARTBEAT_S,
        connect_timeout=contact.timeout_s,
        control_connection_timeout=contact.timeout_s,
        monitor_reporting_enabled=False,
        compression=False,
        # The driver hands a request to the kernel in pieces of 4 KiB. Without this, the second piece of each batch
        # waits until the first is acknowledged, for which the other side takes its 40 ms.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
