"""A group of statements is one future: bounded, paged, and ended by the first failure."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

import pytest

from infra.cassandra.burst import Burst, Slots

Rows = list[tuple[Any, ...]]


class Timer:
    """The driver keeps one for each request, in a heap, until the request's time is up."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback


class Response:
    """What the driver gives for a statement; the test answers in its place, page by page."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._timer: Timer | None = Timer(self.time_is_up)
        self.has_more_pages = False
        self.pages_asked = 1
        self.callback: Callable[[Rows | None], None] | None = None
        self.errback: Callable[[Exception], None] | None = None

    def add_callbacks(self, callback: Any, errback: Any, callback_args: Sequence[Any]) -> None:
        self.callback = lambda rows: callback(rows, *callback_args)
        self.errback = errback

    def clear_callbacks(self) -> None:
        self.callback = self.errback = None

    def time_is_up(self) -> None: ...

    def start_fetching_next_page(self) -> None:
        self.pages_asked += 1

    def answer(self, rows: Rows | None = None, *, more: bool = False) -> None:
        assert self.callback is not None
        self.has_more_pages = more
        self.callback(rows)

    def fail(self, error: Exception) -> None:
        assert self.errback is not None
        self.errback(error)


class Session:
    def __init__(self) -> None:
        self.sent: list[Response] = []
        self.refuses: Exception | None = None

    def execute_async(self, statement: Any) -> Response:
        if self.refuses is not None:
            raise self.refuses
        self.sent.append(Response(statement))
        return self.sent[-1]


async def begun(session: Session, statements: Sequence[Any], slots: Slots | int = 2) -> asyncio.Task[list[Rows]]:
    slots = Slots(slots) if isinstance(slots, int) else slots
    task = asyncio.ensure_future(Burst(session, statements, slots).run())
    await asyncio.sleep(0)
    return task


async def test_no_more_are_under_way_than_allowed_and_rows_come_in_the_order_of_statements() -> None:
    session = Session()
    task = await begun(session, "abcd")
    assert [response.statement for response in session.sent] == ["a", "b"]
    session.sent[1].answer([("b1",)])
    assert [response.statement for response in session.sent] == ["a", "b", "c"]
    session.sent[2].answer([("c1",), ("c2",)])
    session.sent[3].answer(None)
    assert not task.done()
    session.sent[0].answer([("a1",)])
    assert await task == [[("a1",)], [("b1",)], [("c1",), ("c2",)], []]


async def test_what_was_answered_is_freed_without_a_search_for_circles_though_its_timer_is_still_kept() -> None:
    session = Session()
    task = await begun(session, "a")
    timer, freed = session.sent[0]._timer, ref(session.sent[0])
    gc.disable()
    try:
        session.sent.pop().answer([("a1",)])
        assert await task == [[("a1",)]]
        assert freed() is None
        assert timer is not None
    finally:
        gc.enable()


async def test_bursts_share_their_slots_in_turn() -> None:
    session, slots = Session(), Slots(2)
    many = await begun(session, range(100), slots)
    few = await begun(session, "ab", slots)
    answered = 0
    while answered < 102:
        assert len(session.sent) - answered <= 2
        session.sent[answered].answer([(session.sent[answered].statement,)])
        answered += 1
        await asyncio.sleep(0)
    assert len(session.sent) == 102
    order = [response.statement for response in session.sent]
    assert max(order.index("a"), order.index("b")) < 50, "the long one does not hold up the short one"
    assert await many == [[(number,)] for number in range(100)]
    assert await few == [[("a",)], [("b",)]]


async def test_slots_come_back_from_what_failed_or_was_cancelled() -> None:
    session, slots = Session(), Slots(2)
    failing, waiting = await begun(session, "abc", slots), await begun(session, "xyz", slots)
    session.sent[0].fail(OSError("away"))
    with pytest.raises(OSError, match="away"):
        await failing
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for response in session.sent[1:]:
        response.answer()
    sent = len(session.sent)
    last = await begun(session, "12", slots)
    assert len(session.sent) == sent + 2
    for response in session.sent[sent:]:
        response.answer()
    await last


async def test_thousands_that_are_refused_at_once_do_not_pile_up() -> None:
    session, slots = Session(), Slots(1)
    first = await begun(session, "a", slots)
    others = [await begun(session, range(10), slots) for _ in range(2_000)]
    session.refuses = OSError("away")
    session.sent[0].answer()
    await first
    assert {type(error) for error in await asyncio.gather(*others, return_exceptions=True)} == {OSError}
    assert len(session.sent) == 1


async def test_all_pages_of_an_answer_are_fetched() -> None:
    session = Session()
    task = await begun(session, "ab", slots=1)
    session.sent[0].answer([(1,)], more=True)
    session.sent[0].answer([(2,)], more=True)
    assert len(session.sent) == 1, "the next statement waits for the last page"
    session.sent[0].answer([(3,)])
    assert session.sent[0].pages_asked == 3
    session.sent[1].answer([(4,)])
    assert await task == [[(1,), (2,), (3,)], [(4,)]]


async def test_the_first_failure_ends_it_and_nothing_more_is_sent() -> None:
    session = Session()
    task = await begun(session, "abcd")
    session.sent[0].fail(OSError("first"))
    session.sent[1].fail(OSError("second"))
    with pytest.raises(OSError, match="first"):
        await task
    assert len(session.sent) == 2


async def test_an_answer_after_a_failure_sends_nothing_more() -> None:
    session = Session()
    task = await begun(session, "abcd")
    session.sent[0].fail(OSError("first"))
    session.sent[1].answer()
    with pytest.raises(OSError, match="first"):
        await task
    assert len(session.sent) == 2


async def test_a_session_that_refuses_at_once_is_a_failure() -> None:
    session = Session()
    session.refuses = OSError("no connection")
    with pytest.raises(OSError, match="no connection"):
        await (await begun(session, "ab"))


async def test_a_failure_to_ask_for_the_next_page_is_a_failure() -> None:
    session = Session()
    task = await begun(session, "a")

    def broken() -> None:
        raise OSError("no next page")

    session.sent[0].start_fetching_next_page = broken  # type: ignore[method-assign]
    session.sent[0].answer([(1,)], more=True)
    with pytest.raises(OSError, match="no next page"):
        await task


async def test_answers_to_a_cancelled_task_are_of_no_consequence() -> None:
    session = Session()
    task = await begun(session, "a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    session.sent[0].answer([(1,)])
    await asyncio.sleep(0)


def test_answers_after_the_loop_has_gone_are_of_no_consequence() -> None:
    session = Session()

    async def leave() -> None:
        await begun(session, "a")

    asyncio.run(leave())
    session.sent[0].answer([(1,)])


async def test_what_is_answered_names_its_response_no_more() -> None:
    session = Session()
    task = await begun(session, "a")
    session.sent[0].answer([(1,)])
    await task
    assert session.sent[0].callback is None, "a circle that only the garbage collector would find"
