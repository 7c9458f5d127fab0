"""One push or one message that makes others fail, told apart from them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from commands.errors import Unavailable
from streams.push.ports import Outcome, Push

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


async def apart(
    do: Callable[[Sequence[T]], Awaitable[R]], things: Sequence[T]
) -> tuple[list[tuple[Sequence[T], R]], list[tuple[T, Exception]]]:
    """What `do` gives for all of them, or else for halves, and halves of those; and those with which it fails alone.

    Raises Unavailable: then nobody in particular is to blame.
    """
    try:
        return [(things, await do(things))], []
    except Unavailable:
        raise
    except Exception as error:
        if len(things) < 2:
            logger.exception("a push fails by itself: %s", things)
            return [], [(thing, error) for thing in things]
    middle = len(things) // 2
    done, failed = await apart(do, things[:middle])
    more_done, more_failed = await apart(do, things[middle:])
    return done + more_done, failed + more_failed


async def sent_apart(
    send: Callable[[Sequence[Push]], Awaitable[Sequence[Outcome]]], pushes: Sequence[Push]
) -> list[Outcome]:
    """One outcome for each, in order, whatever `send` raises: `busy` for those with which it fails alone, for what we
    do not know may be over in a moment, and is given up in the end."""

    async def checked(some: Sequence[Push]) -> Sequence[Outcome]:
        outcomes = await send(some)
        if len(outcomes) != len(some):
            raise RuntimeError(f"{len(outcomes)} outcomes for {len(some)} pushes")
        return outcomes

    try:
        done, failed = await apart(checked, pushes)
    except Unavailable as error:
        return [Outcome("busy", str(error))] * len(pushes)
    found = {id(push): outcome for some, outcomes in done for push, outcome in zip(some, outcomes, strict=True)}
    found |= {id(push): Outcome("busy", f"the provider failed: {error!r}") for push, error in failed}
    return [found[id(push)] for push in pushes]
