"""Reading one's own writes over HTTP: reads wait for positions, commands wait for the fold."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import Depends, Header, Request, Response

from api.chat_services import ChatServices
from api.http.chat_shapes import PositionAnswer, answer, content
from api.http.routing import Caller, Responses, problems
from commands.errors import FieldError, Invalid, NoSuchChat, NotYet, TidingsError
from commands.handlers import WAIT_S, Accepted
from commands.ports import Progress
from commands.sessions import Claims
from events.log import Position

HEADER = "Tidings-Min-Position"
MAX_POSITIONS = 1_000
_POSITIONS = {"pattern": r"^[0-9]{1,9}:[0-9]{1,18}(, ?[0-9]{1,9}:[0-9]{1,18})*$", "examples": ["0:17, 3:42"]}


def parse_positions(text: str, partitions: int) -> dict[int, int]:
    """Partition → the offset that the views must reach, from `p1, p2`. Raises Invalid."""
    ends: dict[int, int] = {}
    try:
        for part in text.split(",", MAX_POSITIONS - 1):
            position = Position.parse(part.strip(" \t"))
            if position.partition >= partitions:
                raise ValueError(f"the log has no partition {position.partition}")
            ends[position.partition] = max(ends.get(position.partition, 0), position.offset + 1)
    except ValueError as error:
        message = f"positions such as 0:17, separated by commas ({error})"
        raise Invalid(f"{HEADER}: {message}", errors=(FieldError(HEADER, message),)) from error
    return ends


class Log(Protocol):
    async def logged(self, ends: dict[int, int]) -> bool:
        """Whether the log has all records below these offsets. Raises Unavailable."""


async def settled(progress: Progress, log: Log, ends: dict[int, int]) -> None:
    """Return once the views have all records below these offsets. Raises NotYet, at once where the log has no such
    records: nobody gave such positions out, and they would be waited for in vain."""
    if await progress.reach(ends, 0):
        return
    if not await log.logged(ends) or not await progress.reach(ends, WAIT_S):
        raise NotYet("the views do not have these positions yet", retry_after_ms=1_000)


async def chats_of(request: Request) -> ChatServices:
    chats: ChatServices = request.app.state.services.chats
    return chats


async def reader(
    caller: Caller,
    request: Request,
    chats: Annotated[ChatServices, Depends(chats_of)],
    _: Annotated[
        str,
        Header(
            default_factory=str,
            alias=HEADER,
            json_schema_extra=_POSITIONS,
            description="Positions that the answer must show, separated by commas: 503 `not_yet` after two seconds.",
        ),
    ],
) -> Claims:
    """Who reads, once the views have what the reader wants to see. Raises Invalid, NotYet."""
    given = request.headers.getlist(HEADER)  # lines of one name are one list
    if given:
        ends = parse_positions(",".join(given), chats.partitions)
        await settled(chats.progress, chats.commands, ends)
    return caller


Chats = Annotated[ChatServices, Depends(chats_of)]
Reader = Annotated[Claims, Depends(reader)]

PENDING: Responses = {
    202: content(PositionAnswer, "The log has it; the views do not show it yet, and the chat may still refuse it.")
}


def concluded(accepted: Accepted) -> Response:
    """The answer to a command that has no other: its position, 202 while the views do not show it."""
    return answer(PositionAnswer(str(accepted.position)), 200 if accepted.folded else 202)


def commands_answers(*kinds: type[TidingsError]) -> Responses:
    """`responses` of a command that answers with its position, and may be refused so."""
    return {200: content(PositionAnswer, "Done, or so already."), **PENDING, **problems(NoSuchChat, *kinds)}


def read_answers(success: dict[str, Any], *kinds: type[TidingsError]) -> Responses:
    """`responses` of a read."""
    return {200: success, **problems(*kinds, NotYet)}
