"""What /metrics tells besides HTTP: sockets, the log, the fold. Read when asked for; nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.ws.counters import Counters
from streams.progress import FoldProgress

_GATEWAY = {
    "connects": "Sockets that were opened.",
    "frames_in": "Frames received.",
    "frames_out": "Frames sent.",
    "events": "Events taken in from fan-out or the views.",
    "fills": "Holes in a chat's numbers that were filled from the views.",
    "replays": "Chats in which a client that came back was sent what it had missed.",
    "unreadable": "Messages shown as erased because no key opens them.",
    "errors": "Frames answered by an error.",
}


class ServerMetrics(Collector):
    """`ends` gives partition → the offset after the last durable record of the log."""

    def __init__(self, counters: Counters, ends: Callable[[], dict[int, int]], progress: FoldProgress) -> None:
        self._counters = counters
        self._ends = ends
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tidings_sessions", "Sockets connected right now.", self._counters.sessions)
        for name, meaning in _GATEWAY.items():
            yield CounterMetricFamily(f"tidings_gateway_{name}", meaning, getattr(self._counters, name))
        closes = CounterMetricFamily("tidings_gateway_closes", "Sockets closed by us, by close code.", labels=["code"])
        for code, count in sorted(self._counters.closes.items()):
            closes.add_metric([str(code)], count)
        yield closes
        end = GaugeMetricFamily("tidings_log_end", "Offset after the last durable record.", labels=["partition"])
        lag = GaugeMetricFamily(
            "tidings_projection_lag", "Records that the views do not have yet.", labels=["partition"]
        )
        for partition, offset in self._ends().items():
            end.add_metric([str(partition)], offset)
            lag.add_metric([str(partition)], max(0, offset - self._progress.position(partition)))
        yield end
        yield lag
