"""Dashboards and alerts name only what is told, and every alert leads to what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.deploy.dashboards import DASHBOARDS, FOLDER, base, text
from infra.metrics.catalogue import SPECS

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "infra/deploy/prometheus/alerts.yaml"
OF_PROMETHEUS = {
    "up",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
OF_EVERY_SAMPLE = {"job", "instance", "le"}
_WORDS = {
    *("and", "or", "unless", "by", "without", "on", "ignoring"),
    *("sum", "max", "min", "count", "rate", "increase", "delta", "deriv", "changes", "histogram_quantile", "time"),
}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for rule in alerts():
        yield rule["expr"]
    for name in DASHBOARDS:
        for panel in json.loads(text(name))["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"]


EXPRESSIONS = sorted(set(expressions()))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_name_in_an_expression_is_told_with_these_labels(expression: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', expression)
    selectors = dict(re.findall(r"([a-z_]+)\{([^}]*)\}", bare))
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", bare) for label in group.split(",")}
    rest = re.sub(r"\bby \([^)]*\)|\{[^}]*\}|\[[^\]]*\]", " ", bare)
    names = set(re.findall(r"\b[a-z][a-z_]+\b", rest)) - _WORDS
    assert names, "no metric at all"
    for name in names:
        labels = OF_EVERY_SAMPLE
        if name not in OF_PROMETHEUS:
            labels = labels | set(SPECS[base(name)].labels)
        used = set(re.findall(r"(\w+)\s*[=!]", selectors.get(name, "")))
        assert used <= labels, f"{name} has no {used - labels}"
    known = set().union(OF_EVERY_SAMPLE, *(SPECS[base(name)].labels for name in names - OF_PROMETHEUS))
    assert grouped <= known
    assert bare.count("(") == bare.count(")")
    for function, within in re.findall(r"\b(rate|increase|delta|deriv|changes)\(([^()]*)\)", bare):
        assert re.search(r"\[[^\]]+\]$", within), f"{function} needs a range"


def test_a_counter_is_only_looked_at_by_its_growth() -> None:
    for expression in EXPRESSIONS:
        for name in re.findall(r"\btidings_\w+_total", expression):
            assert re.search(rf"(rate|increase)\({name}", expression), expression


def test_what_no_chart_shows_is_left_out_on_purpose() -> None:
    shown = {base(name) for expression in EXPRESSIONS for name in re.findall(r"\btidings_\w+", expression)}
    assert set(SPECS) - shown == set()


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_dashboards_are_made_from_their_panels(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == text(name), "python -m infra.deploy.dashboards writes it"
    made = json.loads(text(name))
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = {
        (x, y)
        for panel in made["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in made["panels"])
    assert max(x for x, _ in taken) < 24


def test_every_alert_says_how_bad_it_is_and_leads_to_what_to_do() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.M)
    }
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        link, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert link == "docs/operating.md"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors, f"docs/operating.md does not explain {rule['alert']}"
