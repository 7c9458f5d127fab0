"""Services start in their turn, and all end. They are small stand-ins here, but processes all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.cluster.processes import started
from infra.cluster.service import Service, ServiceFailed
from infra.cluster.starting import Report, start, stop


class Sleeper(Service):
    """Ready as soon as it has written so."""

    patience_s = 5.0

    def __init__(self, folder: Path, name: str, script: str = "echo up; exec sleep 1000") -> None:
        super().__init__(name, folder / name, {})
        self.script = script

    def command(self) -> Sequence[str]:
        return ["sh", "-c", self.script]

    def is_ready(self) -> bool:
        return self.pid is not None and "up" in self.told()


def no_needs(service: Service) -> list[Service]:
    return []


def steps(reports: list[Report], name: str) -> list[str]:
    return [report.step for report in reports if report.name == name]


@pytest.fixture
def one(service_folder: Path, tmp_path: Path) -> Sleeper:
    return Sleeper(service_folder / tmp_path.name, "one")


@pytest.fixture
def other(service_folder: Path, tmp_path: Path) -> Sleeper:
    return Sleeper(service_folder / tmp_path.name, "other")


def test_one_waits_for_what_it_needs(one: Sleeper, other: Sleeper) -> None:
    reports = list(start([one, other], lambda service: [other] if service is one else []))
    assert [(report.name, report.step) for report in reports] == [
        ("other", "starting"),
        ("other", "ready"),
        ("one", "starting"),
        ("one", "ready"),
    ]
    assert (one.state, other.state) == ("running", "running")
    list(stop([one, other]))


def test_what_needs_one_that_failed_is_left_out(one: Sleeper, other: Sleeper) -> None:
    other.script = "echo broken; exit 3"
    reports = list(start([one, other], lambda service: [other] if service is one else []))
    assert steps(reports, "one") == ["left out"]
    [failed] = [report for report in reports if report.step == "failed"]
    assert failed.name == "other"
    assert isinstance(failed.error, ServiceFailed)
    assert "broken" in str(failed.error)
    assert one.state == "stopped"


def test_what_runs_is_left_alone_and_what_is_paused_goes_on(one: Sleeper, other: Sleeper) -> None:
    list(start([one, other], no_needs))
    before = one.pid, other.pid
    other.pause()
    reports = list(start([one, other], no_needs))
    assert steps(reports, "one") == steps(reports, "other") == ["starting", "ready"]
    assert (one.pid, other.pid) == before
    assert other.state == "running"
    list(stop([one, other]))


def test_all_end_even_those_that_will_not(one: Sleeper, other: Sleeper) -> None:
    other.script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    other.patience_s = 0.3  # type: ignore[misc]
    list(start([one, other], no_needs))
    pids = one.pid, other.pid
    reports = list(stop([one, other]))
    assert steps(reports, "one") == steps(reports, "other") == ["stopping", "stopped"]
    assert [started(pid) for pid in pids if pid is not None] == [None, None]
    assert steps(list(stop([one])), "one") == ["stopped"]
