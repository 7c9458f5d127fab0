"""What a session does with each frame of an open connection. Errors that are raised become `error` frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from api.ratelimit import RateLimit
from api.ws.frames import (
    Ack,
    Auth,
    ClientFrame,
    Connect,
    Delivered,
    Join,
    Leave,
    Ping,
    Pong,
    Read,
    Send,
    Status,
    Typing,
    Watch,
    encode,
)
from api.ws.lane import Lane
from api.ws.limits import BAD_TOKEN
from commands.decide import ChatCommand
from commands.decide import Join as JoinChat
from commands.decide import Leave as LeaveChat
from commands.errors import BadToken, Invalid, NoSuchChat, RateLimited, TidingsError
from commands.handlers import Draft
from commands.receipts import MarkKind
from events.log import Position

if TYPE_CHECKING:
    from api.ws.gateway import Gateway
    from api.ws.session import Session


def on_send(session: Session, frame: Send) -> None:
    gateway = session.gateway
    try:
        _send(session, gateway, frame)
    except TidingsError as error:
        gateway.counters.sends_refused[error.code] += 1
        raise


def _send(session: Session, gateway: Gateway, frame: Send) -> None:
    _limit(gateway.rates.sends, session)
    draft = Draft(frame.chat_id, frame.message_id, frame.kind, frame.text or "", frame.file_id, frame.reply_to_message)
    done = partial(_sent, session, frame.id, frame.message_id, perf_counter())
    if session.lane is not None:
        session.lane.send(draft, done)
    elif not gateway.commands.send_now(session.user_id, draft, done):
        _lane(session).send(draft, done)
    session.unanswered += 1


def on_join(session: Session, frame: Join) -> None:
    _submit(session, frame.id, JoinChat(session.user_id), frame.chat_id)


def on_leave(session: Session, frame: Leave) -> None:
    _submit(session, frame.id, LeaveChat(session.user_id), frame.chat_id)


def on_delivered(session: Session, frame: Delivered) -> None:
    _mark(session, frame, "delivered")


def on_read(session: Session, frame: Read) -> None:
    _mark(session, frame, "read")


def on_typing(session: Session, frame: Typing) -> None:
    if session.user is None or frame.chat_id not in session.user.chats:
        raise NoSuchChat("you are in no such chat")
    if session.user.may_type(frame.chat_id, session.gateway.timers.time(), session.gateway.limits.typing_s):
        session.gateway.hub.fanout.publish_typing(frame.chat_id, session.user_id)


def on_watch(session: Session, frame: Watch) -> None:
    _limit(session.gateway.rates.commands, session)
    session.gateway.watchers.start(session, frame)


def on_status(session: Session, frame: Status) -> None:
    before, session.status = session.status, frame.status
    session.gateway.presence.change(session.user_id, before, frame.status)


def on_ping(session: Session, frame: Ping) -> None:
    session.tell(Pong(frame.id))


def on_auth(session: Session, frame: Auth) -> None:
    try:
        claims = session.gateway.tokens.verify(frame.token)
        if claims.user_id != session.user_id:
            raise BadToken("this is another user's token")
    except BadToken as error:
        session.close(BAD_TOKEN, str(error))
        return
    session.authenticate(claims)
    session.tell(Ack(frame.id))


def on_connect(session: Session, frame: Connect) -> None:
    raise Invalid("this connection is connected already")


HANDLERS: dict[type[ClientFrame], Callable[[Session, Any], None]] = {
    Send: on_send,
    Join: on_join,
    Leave: on_leave,
    Delivered: on_delivered,
    Read: on_read,
    Typing: on_typing,
    Watch: on_watch,
    Status: on_status,
    Ping: on_ping,
    Auth: on_auth,
    Connect: on_connect,
}


def _limit(rate: RateLimit, session: Session) -> None:
    wait_ms = rate.take(session.user_id)
    if wait_ms is not None:
        raise RateLimited(f"the limit '{rate.name}' is used up", retry_after_ms=wait_ms)


def _mark(session: Session, frame: Delivered | Read, kind: MarkKind) -> None:
    _limit(session.gateway.rates.marks, session)
    done = partial(_marked, session, frame.id)
    session.gateway.receipts.note(session.user_id, frame.chat_id, kind, frame.up_to_seq, done)
    session.unanswered += 1


def _submit(session: Session, reply_to: str, command: ChatCommand, chat_id: str) -> None:
    _limit(session.gateway.rates.commands, session)
    (session.lane or _lane(session)).submit(command, chat_id, partial(_done, session, reply_to))
    session.unanswered += 1


def _lane(session: Session) -> Lane:
    gateway = session.gateway
    on_empty = partial(setattr, session, "lane", None)
    session.lane = Lane(gateway.commands, session.user_id, gateway.limits.waiting_commands, on_empty, session.broke)
    return session.lane


def _sent(
    session: Session,
    reply_to: str,
    message_id: str,
    started: float,
    position: Position | None,
    error: TidingsError | None,
) -> None:
    if position is not None:
        session.gateway.counters.acks.observe(perf_counter() - started)
        session.link.send(encode(Ack(reply_to, message_id, f"{position[0]}:{position[1]}")))
    elif error is not None:
        session.gateway.counters.sends_refused[error.code] += 1
        session.refuse(reply_to, error)
    session.answered()


def _done(session: Session, reply_to: str, position: Position | None, error: TidingsError | None) -> None:
    if position is not None:
        session.tell(Ack(reply_to, position=str(position)))
    elif error is not None:
        session.refuse(reply_to, error)
    session.answered()


def _marked(session: Session, reply_to: str | None, position: Position | None, error: TidingsError | None) -> None:
    if error is not None:
        session.refuse(reply_to, error)
    elif position is not None and reply_to is not None:
        session.tell(Ack(reply_to, position=str(position)))
    session.answered()
