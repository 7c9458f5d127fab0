"""Starting and ending many services at once, each in its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Literal

from infra.cluster.service import Service

Step = Literal["starting", "ready", "stopping", "stopped", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class Report:
    """What has just become of a service. `seconds`: since the beginning. `error`: why it failed."""

    name: str
    step: Step
    seconds: float
    error: Exception | None = None


Tell = Callable[[Step], None]


def start(services: Sequence[Service], needs: Callable[[Service], Sequence[Service]]) -> Iterator[Report]:
    """Start each as soon as what it needs is ready; what runs is left as it is, and what is paused goes on.

    Gives reports until every service is ready, has failed, or is left out because what it needs failed. Whoever
    stops listening leaves the services to come up by themselves, as far as they have been launched.
    """
    decided = {service.name: Event() for service in services}
    ready: set[str] = set()

    def one(service: Service, tell: Tell) -> None:
        try:
            needed = [each.name for each in needs(service)]
            for name in needed:
                decided[name].wait()
            if service.pid is None and not ready.issuperset(needed):
                tell("left out")
                return
            tell("starting")
            service.resume()
            service.start()
            ready.add(service.name)
            tell("ready")
        finally:
            decided[service.name].set()

    return _each(services, one)


def stop(services: Sequence[Service]) -> Iterator[Report]:
    """End all of them at once; one that does not end in its own good order is killed, which is no failure."""

    def one(service: Service, tell: Tell) -> None:
        if service.pid is not None:
            tell("stopping")
            service.end()
        tell("stopped")

    return _each(services, one)


def _each(services: Sequence[Service], work: Callable[[Service, Tell], None]) -> Iterator[Report]:
    began = time.monotonic()
    reports: SimpleQueue[Report | None] = SimpleQueue()

    def run(service: Service) -> None:
        def tell(step: Step, error: Exception | None = None) -> None:
            reports.put(Report(service.name, step, time.monotonic() - began, error))

        try:
            work(service, tell)
        except Exception as error:
            tell("failed", error)
        finally:
            reports.put(None)

    for service in services:
        # Daemons: whoever presses Ctrl-C does not wait for them.
        Thread(target=run, args=(service,), daemon=True, name=service.name).start()
    under_way = len(services)
    while under_way:
        report = reports.get()
        if report is None:
            under_way -= 1
        else:
            yield report
