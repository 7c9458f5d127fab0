"""Prometheus' families of samples, by names of the catalogue. An unknown name is a KeyError."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from infra.metrics.catalogue import SPECS
from streams.measures import Histogram

ByLabel = Mapping[int, float] | Mapping[str, float]


def gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, SPECS[name].meaning, value)


def counter(name: str, value: float) -> Metric:
    return CounterMetricFamily(name, SPECS[name].meaning, value)


def gauges(name: str, values: ByLabel) -> Metric:
    """One gauge for each value of the only label."""
    family = GaugeMetricFamily(name, SPECS[name].meaning, labels=SPECS[name].labels)
    for label, value in sorted(values.items(), key=str):
        family.add_metric([str(label)], value)
    return family


def grid(name: str, values: Mapping[tuple[str, str], float]) -> Metric:
    """One gauge for each pair of the two labels, in the catalogue's order."""
    family = GaugeMetricFamily(name, SPECS[name].meaning, labels=SPECS[name].labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def counters(name: str, values: ByLabel) -> Metric:
    """One counter for each value of the only label."""
    family = CounterMetricFamily(name, SPECS[name].meaning, labels=SPECS[name].labels)
    for label, value in sorted(values.items(), key=str):
        family.add_metric([str(label)], value)
    return family


def histogram(name: str, told: Histogram) -> Metric:
    family = HistogramMetricFamily(name, SPECS[name].meaning)
    bounds = [*(str(float(bound)) for bound in told.bounds), "+Inf"]
    family.add_metric([], list(zip(bounds, map(float, told.cumulated), strict=True)), told.total)
    return family
