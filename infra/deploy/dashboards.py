"""The dashboards under infra/deploy/grafana, written from a list of their panels: `python -m infra.deploy.dashboards`.

What a panel says of itself is what the catalogue of metrics says, so there is one place to explain a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.metrics.catalogue import SPECS

FOLDER = Path(__file__).parent / "grafana"
_SCOPE = 'job=~"$job",instance=~"$instance"'
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 8, 7
_PER_ROW = 3


@dataclass(frozen=True, slots=True)
class Panel:
    """`lines`: legend → expression, in which `{}` stands for the instances that were chosen."""

    title: str
    unit: str
    lines: dict[str, str]

    @property
    def metrics(self) -> list[str]:
        """Names in the catalogue, in the order in which they are first used."""
        found = [name for line in self.lines.values() for name in re.findall(r"tidings_\w+", line)]
        return list(dict.fromkeys(base(name) for name in found))


def base(name: str) -> str:
    """The name in the catalogue of a sample's name. Raises KeyError."""
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    for ending in ("", "_total", "_bucket", "_sum", "_count"):
        spec = SPECS.get(name.removesuffix(ending))
        if spec is not None and name.endswith(ending) and ending in endings[spec.kind]:
            return spec.name
    raise KeyError(name)


def _quantiles(name: str, by: str = "") -> dict[str, str]:
    within = f"sum by (le{', ' + by if by else ''}) (rate({name}_bucket{{}}[$__rate_interval]))"
    suffix = f" {{{{{by}}}}}" if by else ""
    return {f"p{q}{suffix}": f"histogram_quantile(0.{q}, {within})" for q in (50, 99)}


def _rate(name: str, by: str = "") -> str:
    return f"sum{' by (' + by + ')' if by else ''} (rate({name}{{}}[$__rate_interval]))"


DASHBOARDS: dict[str, tuple[str, list[tuple[str, list[Panel]]]]] = {
    "overview": (
        "Tidings: overview",
        [
            (
                "What users feel",
                [
                    Panel("Sends accepted", "ops", {"sends": _rate("tidings_ack_seconds_count")}),
                    Panel("Until a send is acknowledged", "s", _quantiles("tidings_ack_seconds")),
                    Panel("Until an event is delivered", "s", _quantiles("tidings_delivery_seconds")),
                    Panel("Sends refused", "ops", {"{{code}}": _rate("tidings_sends_refused_total", "code")}),
                    Panel("HTTP answers", "reqps", {"{{status}}": _rate("tidings_http_requests_total", "status")}),
                    Panel("Slow routes", "s", _quantiles("tidings_http_request_seconds", "route")),
                    Panel(
                        "Connections",
                        "short",
                        {
                            "{{instance}}": "sum by (instance) (tidings_connections{})",
                            "at most at {{instance}}": "sum by (instance) (tidings_connections_most{})",
                        },
                    ),
                    Panel("Security events", "ops", {"{{event}}": _rate("tidings_security_events_total", "event")}),
                    Panel(
                        "Connections ended", "ops", {"{{reason}}": _rate("tidings_connections_ended_total", "reason")}
                    ),
                ],
            ),
            (
                "Is everything there",
                [
                    Panel(
                        "Dependencies",
                        "short",
                        {"{{name}} at {{instance}}": "min by (name, instance) (tidings_dependency_up{})"},
                    ),
                    Panel(
                        "Events a second",
                        "ops",
                        {"log": "sum(max by (partition) (deriv(tidings_log_end{}[$__rate_interval])))"},
                    ),
                    Panel("Lag", "s", {"worst": "max(tidings_projection_lag_seconds{})"}),
                    Panel("Appends that failed", "ops", {"unknown outcome": _rate("tidings_log_failures_total")}),
                    Panel("Records put aside", "ops", {"parked": _rate("tidings_fold_parked_total")}),
                    Panel("Versions", "short", {"{{version}}": "count by (version) (tidings_build_info{})"}),
                ],
            ),
        ],
    ),
    "gateways": (
        "Tidings: gateways",
        [
            (
                "Sockets",
                [
                    Panel("Sessions", "short", {"{{instance}}": "sum by (instance) (tidings_sessions{})"}),
                    Panel("Users", "short", {"{{instance}}": "sum by (instance) (tidings_users_connected{})"}),
                    Panel(
                        "Sockets opened", "ops", {"{{instance}}": _rate("tidings_gateway_connects_total", "instance")}
                    ),
                    Panel("Sockets closed by us", "ops", {"{{code}}": _rate("tidings_gateway_closes_total", "code")}),
                    Panel("Frames in", "ops", {"{{instance}}": _rate("tidings_gateway_frames_in_total", "instance")}),
                    Panel("Frames out", "ops", {"{{instance}}": _rate("tidings_gateway_frames_out_total", "instance")}),
                    Panel("Bytes out", "Bps", {"{{instance}}": _rate("tidings_gateway_bytes_out_total", "instance")}),
                    Panel("Frames refused", "ops", {"{{code}}": _rate("tidings_gateway_errors_total", "code")}),
                    Panel("Chats followed", "short", {"{{instance}}": "sum by (instance) (tidings_chats_followed{})"}),
                ],
            ),
            (
                "Fan-out",
                [
                    Panel(
                        "Messages on the bus",
                        "ops",
                        {
                            "published": _rate("tidings_fanout_published_total"),
                            "received": _rate("tidings_fanout_received_total"),
                            "not taken": _rate("tidings_fanout_unsent_total"),
                        },
                    ),
                    Panel(
                        "Events taken in", "ops", {"{{instance}}": _rate("tidings_gateway_events_total", "instance")}
                    ),
                    Panel(
                        "Made up for",
                        "ops",
                        {
                            "holes filled": _rate("tidings_gateway_fills_total"),
                            "comparisons with the views": _rate("tidings_fanout_resyncs_total"),
                            "chats replayed": _rate("tidings_gateway_replays_total"),
                        },
                    ),
                    Panel("Unreadable messages", "ops", {"no key": _rate("tidings_gateway_unreadable_total")}),
                    Panel("Loop delay", "s", _quantiles("tidings_loop_delay_seconds", "instance")),
                    Panel(
                        "Draining",
                        "short",
                        {"{{instance}}": "max by (instance) (tidings_draining{})"},
                    ),
                ],
            ),
        ],
    ),
    "files-and-push": (
        "Tidings: files and push",
        [
            (
                "Push",
                [
                    Panel(
                        "Pushes, by what became of them", "ops", {"{{result}}": _rate("tidings_pushes_total", "result")}
                    ),
                    Panel("Behind", "s", {"{{instance}}": "max by (instance) (tidings_push_behind_seconds{})"}),
                    Panel(
                        "Notes",
                        "ops",
                        {
                            "messages looked at": _rate("tidings_push_notes_total"),
                            "repeats": _rate("tidings_push_repeats_total"),
                            "retries": _rate("tidings_push_retries_total"),
                            "given up": _rate("tidings_push_dead_total"),
                        },
                    ),
                ],
            ),
            (
                "Files",
                [
                    Panel(
                        "Calls about files",
                        "reqps",
                        {
                            "{{method}} {{route}} {{status}}": "sum by (method, route, status) "
                            '(rate(tidings_http_requests_total{route=~"/v1/files.*",job=~"$job",instance=~"$instance"}[$__rate_interval]))'
                        },
                    ),
                ],
            ),
        ],
    ),
    "log-and-fold": (
        "Tidings: log and fold",
        [
            (
                "Lag",
                [
                    Panel(
                        "Records behind", "short", {"{{partition}}": "max by (partition) (tidings_projection_lag{})"}
                    ),
                    Panel(
                        "Seconds behind",
                        "s",
                        {"{{partition}}": "max by (partition) (tidings_projection_lag_seconds{})"},
                    ),
                    Panel("Waits for a store", "short", {"{{partition}}": "max by (partition) (tidings_fold_waits{})"}),
                ],
            ),
            (
                "The fold",
                [
                    Panel("Records folded", "ops", {"{{partition}}": _rate("tidings_fold_records_total", "partition")}),
                    Panel("From append to view", "s", _quantiles("tidings_fold_delay_seconds")),
                    Panel("Records of a batch", "short", _quantiles("tidings_fold_batch_records")),
                    Panel("Folding a batch", "s", _quantiles("tidings_fold_seconds")),
                    Panel("Writing a batch", "s", _quantiles("tidings_fold_write_seconds")),
                    Panel(
                        "Not applied",
                        "ops",
                        {
                            "refused: {{code}}": _rate("tidings_fold_refused_total", "code"),
                            "repeats": _rate("tidings_fold_repeats_total"),
                            "parked": _rate("tidings_fold_parked_total"),
                        },
                    ),
                ],
            ),
            (
                "The log",
                [
                    Panel("Appends that wait", "short", {"{{instance}}": "sum by (instance) (tidings_log_waiting{})"}),
                    Panel("Commits (embedded)", "s", _quantiles("tidings_log_commit_seconds")),
                    Panel("Records of a commit (embedded)", "short", _quantiles("tidings_log_commit_records")),
                ],
            ),
            (
                "Generations and audit",
                [
                    Panel(
                        "Served generation",
                        "short",
                        {"{{instance}}": "max by (instance) (tidings_generation_served{})"},
                    ),
                    Panel(
                        "Generations behind",
                        "short",
                        {"{{generation}}": "max by (generation) (tidings_generation_lag{})"},
                    ),
                    Panel(
                        "Generations behind, in time",
                        "s",
                        {"{{generation}}": "max by (generation) (tidings_generation_lag_seconds{})"},
                    ),
                    Panel(
                        "Chats that do not go on",
                        "short",
                        {
                            "mismatched": "max(tidings_audit_mismatched_chats{})",
                            "parked in {{generation}}": "max by (generation) (tidings_generation_parked_chats{})",
                        },
                    ),
                    Panel(
                        "Records counted",
                        "short",
                        {"{{outcome}}": "sum by (outcome) (tidings_audit_records{})"},
                    ),
                    Panel(
                        "Rounds of the audit",
                        "s",
                        {
                            "length": "max(tidings_audit_round_seconds{})",
                            "since the last": "time() - max(tidings_audit_ended_seconds{})",
                            "rounds in an hour": "sum(increase(tidings_audit_rounds_total{}[1h]))",
                        },
                    ),
                ],
            ),
            (
                "Processes",
                [
                    Panel(
                        "CPU", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total{}[$__rate_interval])"}
                    ),
                    Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes{}"}),
                    Panel("Open files", "short", {"{{instance}}": "process_open_fds{}"}),
                ],
            ),
        ],
    ),
}
"""File name → title and rows."""


def dashboard(name: str) -> dict[str, Any]:
    title, rows = DASHBOARDS[name]
    return {
        "uid": f"tidings-{name}",
        "title": title,
        "tags": ["tidings"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                _datasource(),
                _choice("job", "tidings_build_info"),
                _choice("instance", 'tidings_build_info{job=~"$job"}'),
            ]
        },
        "links": [
            {"type": "dashboards", "title": "Tidings", "tags": ["tidings"], "asDropdown": True, "keepTime": True}
        ],
        "panels": list(_panels(rows)),
    }


def _panels(rows: list[tuple[str, list[Panel]]]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
            "panels": [],
        }
        y += 1
        for index, panel in enumerate(panels):
            number += 1
            place = {"h": _HEIGHT, "w": _WIDTH, "x": index % _PER_ROW * _WIDTH, "y": y + index // _PER_ROW * _HEIGHT}
            yield _panel(number, panel, place)
        y += -(-len(panels) // _PER_ROW) * _HEIGHT


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    said = [f"**{name}**: {SPECS[name].meaning} {SPECS[name].advice}" for name in panel.metrics]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": "\n\n".join(said),
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": expr.replace("{}", f"{{{_SCOPE}}}"),
                "legendFormat": legend,
            }
            for index, (legend, expr) in enumerate(panel.lines.items())
        ],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _choice(label: str, of: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values({of}, {label})", "refId": label},
        "definition": f"label_values({of}, {label})",
        "includeAll": True,
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def text(name: str) -> str:
    return json.dumps(dashboard(name), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))
