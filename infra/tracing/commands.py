"""Spans of commands and of their appends to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from opentelemetry import trace
from opentelemetry.trace import use_span

from commands.decide import ChatCommand
from commands.errors import TidingsError
from commands.handlers import Accepted, Commands, Draft
from commands.ports import Appended, EventLog
from events.codec import Event
from events.log import CHAT_TOPIC, Position, Record
from infra.tracing.spans import Span, SpanKind, Spans, as_text, failed


class TraceableLog(EventLog, Protocol):
    def append_traced(self, event: Event, done: Appended, trace: str) -> None:
        """As `append`, with a context that comes back with the record."""


class TracedLog:
    """EventLog: appends that happen within a recorded span are spans of their own, and the record carries them."""

    def __init__(self, log: TraceableLog, spans: Spans, system: str) -> None:
        """`system`: what it is kept in, `kafka` or `sqlite`."""
        self._log = log
        self._spans = spans
        self._system = system
        self.partitions = log.partitions
        self.incarnation = log.incarnation

    def append(self, event: Event, done: Appended) -> None:
        if not trace.get_current_span().is_recording():
            self._log.append(event, done)
            return
        span = self._spans.tracer.start_span(
            f"append {event.type}",
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": self._system,
                "messaging.destination.name": CHAT_TOPIC,
                "messaging.operation.type": "send",
                "tidings.chat_id": event.chat_id,
                "tidings.event_id": event.event_id,
            },
        )
        self._log.append_traced(event, _ending(span, done), as_text(span.get_span_context()))

    async def end(self) -> dict[int, int]:
        return await self._log.end()

    async def read(self, partition: int, offset: int, limit: int) -> Sequence[Record]:
        return await self._log.read(partition, offset, limit)

    async def wait(self, partition: int, offset: int) -> None:
        await self._log.wait(partition, offset)


class TracedCommands(Commands):
    """Commands with a span each, from when they come until the log has them, or they are refused."""

    spans: Spans

    def send_now(self, actor_id: str, draft: Draft, done: Appended) -> bool:
        span = self._start("send", actor_id, draft.chat_id)
        span.set_attribute("tidings.message_id", draft.message_id)
        with use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                # False: the span is left unended, and so never told; `send` makes another.
                return super().send_now(actor_id, draft, _ending(span, done))
            except TidingsError as error:
                failed(span, error.code)
                span.end()
                raise

    async def send(self, actor_id: str, draft: Draft) -> asyncio.Future[Position]:
        span = self._start("send", actor_id, draft.chat_id)
        span.set_attribute("tidings.message_id", draft.message_id)
        with use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                appended = await super().send(actor_id, draft)
            except TidingsError as error:
                failed(span, error.code)
                span.end()
                raise
        appended.add_done_callback(lambda done: _end(span, done))
        return appended

    async def _submitted(self, command: ChatCommand, chat_id: str) -> Accepted:
        span = self._start(type(command).__name__.lower(), command.actor_id, chat_id)
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                accepted = await super()._submitted(command, chat_id)
            except TidingsError as error:
                failed(span, error.code)
                raise
            span.set_attribute("tidings.position", str(accepted.position))
            return accepted

    def _start(self, name: str, actor_id: str, chat_id: str) -> Span:
        span = self.spans.tracer.start_span(f"command {name}", kind=SpanKind.SERVER)
        if span.is_recording():
            span.set_attributes({"tidings.chat_id": chat_id, "tidings.user_id": actor_id})
        return span


def _ending(span: Span, done: Appended) -> Appended:
    def answered(position: Position | None, error: TidingsError | None) -> None:
        if position is not None:
            span.set_attribute("tidings.position", str(position))
        elif error is not None:
            failed(span, error.code)
        span.end()
        done(position, error)

    return answered


def _end(span: Span, appended: asyncio.Future[Position]) -> None:
    error = None if appended.cancelled() else appended.exception()
    if isinstance(error, TidingsError):
        failed(span, error.code)
    elif error is None and not appended.cancelled():
        span.set_attribute("tidings.position", str(appended.result()))
    span.end()
