"""What a /metrics answer holds."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from infra.metrics.catalogue import SPECS, STANDARD, Place

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def check_told(text: str, place: Place) -> None:
    """Everything that the catalogue says this kind of process tells, is told as it says, and nothing besides."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ours = {name for name in families if not name.startswith(STANDARD)}
    assert ours == {spec.name for spec in SPECS.values() if place in spec.where}
    for name in ours:
        spec, family = SPECS[name], families[name]
        assert (family.type, family.documentation) == (spec.kind, spec.meaning)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels), f"{sample.name} {sample.labels}"
    assert "process_cpu_seconds" in families


def sample(text: str, name: str, /, **labels: str) -> float:
    """The value of one sample. Raises KeyError."""
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            if each.name == name and each.labels == labels:
                return each.value
    raise KeyError(f"{name} {labels}")
