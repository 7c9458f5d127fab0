"""What a process is made of, with tracing around its parts or without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from api.ws.hub import Hub
from commands.handlers import Commands
from commands.ports import EventLog
from infra.logs import no_trace
from infra.settings import Settings
from infra.tracing.wanted import AsgiApp, NoTracing, share
from streams.measures import FoldMeasures

if TYPE_CHECKING:
    from infra.tracing.commands import TraceableLog
    from infra.tracing.spans import Spans


class Untraced:
    """The parts as they are. Nothing of tracing runs, so it costs nothing."""

    hub: type[Hub] = Hub
    commands: type[Commands] = Commands

    def log(self, log: EventLog) -> EventLog:
        return log

    def around(self, app: AsgiApp) -> AsgiApp:
        return app

    def follow(self, measures: FoldMeasures | None) -> None:
        """Tell of what is folded."""

    async def close(self) -> None:
        """Send what waits."""


class Traced(Untraced):
    def __init__(self, spans: Spans, system: str) -> None:
        from infra.tracing.commands import TracedCommands
        from infra.tracing.delivery import TracedHub

        self._spans = spans
        self._system = system
        self.hub = type("TracedHub", (TracedHub,), {"spans": spans})
        self.commands = type("TracedCommands", (TracedCommands,), {"spans": spans})

    def log(self, log: EventLog) -> EventLog:
        from infra.tracing.commands import TracedLog

        return TracedLog(cast("TraceableLog", log), self._spans, self._system)

    def around(self, app: AsgiApp) -> AsgiApp:
        from infra.tracing.http import TracedHttp

        return TracedHttp(app, self._spans)

    def follow(self, measures: FoldMeasures | None) -> None:
        from infra.tracing.folds import FoldSpans

        if measures is not None:
            measures.observers.append(FoldSpans(self._spans).note)

    async def close(self) -> None:
        await self._spans.close()


def tracing(settings: Settings) -> Untraced:
    """As the settings want it. Raises NoTracing."""
    wanted = share(settings)
    if wanted <= 0:
        return Untraced()
    with _installed():
        from infra.tracing.spans import Spans
    return Traced(Spans(wanted, settings.node), "kafka" if settings.kafka else "sqlite")


def trace_ids(settings: Settings) -> Callable[[], str | None]:
    """Gives the trace that code runs in, for the process's log. Raises NoTracing."""
    if share(settings) <= 0:
        return no_trace
    with _installed():
        from infra.tracing.spans import current_trace_id
    return current_trace_id


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        advice = "pip install 'tidings[tracing]', or set TIDINGS_TRACING=0"
        raise NoTracing(f"{error.name} is not installed, which tracing needs: {advice}") from error
