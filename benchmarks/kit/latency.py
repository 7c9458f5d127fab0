"""Percentiles by HdrHistogram: 1 µs to 10 minutes, three significant digits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from hdrh.histogram import HdrHistogram

_LONGEST_US = 600_000_000


class Percentiles(msgspec.Struct, frozen=True):
    """Latencies in milliseconds."""

    count: int
    p50: float
    p99: float
    p999: float
    longest: float

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p99:.1f} / {self.p999:.1f}"


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """Of latencies in seconds."""
    histogram = HdrHistogram(1, _LONGEST_US, 3)
    # Recording is slow in Python, so equal values go in together.
    for us, count in Counter(max(1, min(round(value * 1e6), _LONGEST_US)) for value in seconds).items():
        histogram.record_value(us, count)
    p50, p99, p999 = (histogram.get_value_at_percentile(each) / 1000 for each in (50, 99, 99.9))
    longest = histogram.get_max_value() / 1000
    return Percentiles(histogram.get_total_count(), p50, p99, p999, longest)
