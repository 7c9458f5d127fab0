"""The connection is made on first use, tried again when it failed, and made anew when all nodes are gone for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.policies import TokenAwarePolicy

from commands.errors import Unavailable
from infra.cassandra.connection import Connection, Contact, cluster_of


class Driver:
    """Stands for the driver: makes clusters that connect, prepare and answer as the test wants."""

    def __init__(self) -> None:
        self.made: list[FakeCluster] = []
        self.away: Exception | None = None
        self.now = 0.0
        self.centres: list[str] = []

    def make(self, contact: Contact) -> FakeCluster:
        self.made.append(FakeCluster(self))
        return self.made[-1]

    def clock(self) -> float:
        return self.now


class FakeCluster:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.is_shut_down = False
        self.prepared: list[str] = []
        self.metadata = self

    def all_hosts(self) -> list[Any]:
        return [SimpleNamespace(datacenter=centre, is_up=False) for centre in self.driver.centres]

    def connect(self) -> FakeCluster:
        if self.driver.away is not None:
            raise self.driver.away
        return self

    def shutdown(self) -> None:
        self.is_shut_down = True

    # the session's part

    use_client_timestamp = True

    def prepare(self, statement: str) -> str:
        self.prepared.append(statement)
        return f"prepared {statement}"

    def execute_async(self, statement: Any) -> FakeResponse:
        return FakeResponse(self.driver.away, statement)


class FakeResponse:
    has_more_pages = False
    _timer = None

    def __init__(self, error: Exception | None, statement: Any) -> None:
        self.error = error
        self.statement = statement

    def add_callbacks(self, callback: Any, errback: Any, callback_args: Any) -> None:
        if self.error is not None:
            errback(self.error)
        else:
            callback([(self.statement,)], *callback_args)

    def clear_callbacks(self) -> None: ...


GONE = NoHostAvailable("no host", {"127.0.0.1": ConnectionRefusedError("refused")})


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def connection(driver: Driver) -> Iterator[Connection]:
    made = Connection(Contact(("127.0.0.1",)), driver.clock, driver.make)
    yield made
    made.close()


def test_the_driver_asks_a_quorum_at_home_and_never_gives_up_on_a_node() -> None:
    made = cluster_of(Contact(("127.0.0.1",), 9999, "here", timeout_s=3))
    profile = made.profile_manager.default
    assert profile.consistency_level == ConsistencyLevel.LOCAL_QUORUM
    assert isinstance(profile.load_balancing_policy, TokenAwarePolicy)
    assert profile.request_timeout == 3
    pauses = list(islice(made.reconnection_policy.new_schedule(), 1_000))
    assert len(pauses) == 1_000
    assert max(pauses) <= 2


def test_a_write_that_came_too_late_is_repeated_twice() -> None:
    policy = cluster_of(Contact(("127.0.0.1",))).profile_manager.default.retry_policy
    late = [policy.on_write_timeout(None, 6, 2, 1, 0, number)[0] for number in range(4)]
    assert late == [policy.RETRY, policy.RETRY, policy.RETHROW, policy.RETHROW]


async def test_nothing_is_opened_before_it_is_needed_and_then_once(driver: Driver, connection: Connection) -> None:
    assert driver.made == []
    links = await asyncio.gather(*(connection.link(("a",)) for _ in range(20)), connection.link(("a", "b")))
    assert len(set(map(id, links))) == len(driver.made) == 1
    assert driver.made[0].prepared == ["a", "b"]
    assert links[0]["a"] == "prepared a"
    assert await links[0].run(["x", "y"]) == [[("x",)], [("y",)]]


async def test_no_write_takes_its_time_from_a_clock(driver: Driver, connection: Connection) -> None:
    await connection.link()
    assert driver.made[0].use_client_timestamp is False


async def test_who_comes_while_nobody_answers_is_told_at_once_and_the_next_attempt_may_succeed(
    driver: Driver, connection: Connection
) -> None:
    driver.away = GONE
    for _ in range(5):
        with pytest.raises(Unavailable, match="refused"):
            await connection.link()
    assert len(driver.made) == 1, "one attempt answers for those just after it"
    assert driver.made[0].is_shut_down

    driver.now += 1
    driver.away = None
    assert await connection.link() is await connection.link()
    assert len(driver.made) == 2


async def test_a_statement_that_fails_is_unavailable_and_the_link_stays(driver: Driver, connection: Connection) -> None:
    link = await connection.link()
    for error in (GONE, OperationTimedOut("late")):
        driver.away = error
        with pytest.raises(Unavailable):
            await link.run(["x"])
    driver.away = None
    assert await link.run([]) == []
    assert await connection.link() is link


async def test_after_half_a_minute_without_any_node_the_driver_is_started_anew(
    driver: Driver, connection: Connection
) -> None:
    link = await connection.link(("a",))
    driver.away = GONE
    for driver.now in (0.0, 15.0, 30.0, 30.5):
        with pytest.raises(Unavailable):
            await link.run(["x"])
    driver.away = None
    renewed = await connection.link(("a",))
    assert renewed is not link
    assert driver.made[0].is_shut_down
    assert driver.made[1].prepared == ["a"]


@pytest.mark.parametrize("between", [None, OperationTimedOut("late")])
async def test_a_node_that_answers_or_is_slow_is_there(
    driver: Driver, connection: Connection, between: Exception | None
) -> None:
    link = await connection.link()
    driver.away = GONE
    with pytest.raises(Unavailable):
        await link.run(["x"])
    driver.now, driver.away = 29.0, between
    if between is None:
        await link.run(["x"])
    else:
        with pytest.raises(Unavailable):
            await link.run(["x"])
    driver.now, driver.away = 31.0, GONE
    with pytest.raises(Unavailable):
        await link.run(["x"])
    assert await connection.link() is link


@pytest.mark.parametrize(
    ("centres", "named", "refused"),
    [
        (["north", "north"], None, None),
        (["north", "south"], "south", None),
        (["north"], "north", None),
        (["north", "south"], None, r"several data centres \(north, south\)"),
        (["north"], "south", "no data centre south"),
    ],
)
async def test_where_there_are_several_data_centres_one_must_be_named(
    centres: list[str], named: str | None, refused: str | None
) -> None:
    driver = Driver()
    driver.centres = centres
    connection = Connection(Contact(("somewhere",), local_dc=named), driver.clock, driver.make)
    if refused is None:
        await connection.link()
    else:
        with pytest.raises(Unavailable, match=refused):
            await connection.link()
        assert driver.made[0].is_shut_down
    connection.close()
