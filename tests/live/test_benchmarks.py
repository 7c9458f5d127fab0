"""The benchmarks run, and their loss check passes. How fast anything was is not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.support.server import ROOT


def run(path: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run a benchmark; gives the figures that it wrote."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "cores" in result.stdout or "core," in result.stdout, "the machine in words"
    figures: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return figures


def test_the_embedded_benchmark_runs_and_loses_nothing(tmp_path: Path) -> None:
    sizes = ["--pairs", "4", "--rate", "100", "--rate", "200", "--seconds", "1", "--warm-up", "0.5"]
    sizes += ["--idle", "20", "--settle", "0.5"]
    figures = run(tmp_path / "figures.json", "embedded", *sizes)
    assert [step["offered"] for step in figures["load"]["steps"]] == [100, 200]
    assert all(step["unfinished"] == 0 for step in figures["load"]["steps"])
    assert all(step["delivery"]["count"] > 0 for step in figures["load"]["steps"])
    assert figures["load"]["check"] == {"acked": 450, "read": 450, "faults": []}
    assert figures["idle"]["sockets"] == 10


def test_the_fold_benchmark_runs(tmp_path: Path) -> None:
    figures = run(tmp_path / "figures.json", "fold", "--events", "600", "--chats", "20", "--batch", "100")
    assert [cost["batch"] for cost in figures["costs"]] == [100]
    assert figures["costs"][0]["wall"] > 0


def test_the_log_benchmark_runs(tmp_path: Path) -> None:
    figures = run(tmp_path / "figures.json", "log", "--records", "60", "--burst", "1", "--burst", "20")
    assert [(cost["burst"], cost["commits"]) for cost in figures["costs"]] == [(1, 60), (20, 3)]


def test_the_export_benchmark_runs_and_repeats_itself(tmp_path: Path) -> None:
    figures = run(tmp_path / "figures.json", "export", "--events", "500", "--chats", "20", "--workers", "1")
    (found,) = figures["exported"]
    assert (found["events"], found["counted"], found["is_repeated"]) == (500, 500, True)


def test_the_push_benchmark_runs_and_loses_nothing(tmp_path: Path) -> None:
    sizes = ["--people", "4", "--rate", "60", "--seconds", "1", "--iphones", "1", "--androids", "1"]
    (step,) = run(tmp_path / "figures.json", "push", *sizes)["steps"]
    assert (step["messages"], step["missing"], step["repeated"]) == (60, 0, 0)


def test_the_abuse_benchmark_runs_an_attacker_beside_an_honest_user(tmp_path: Path) -> None:
    figures = run(tmp_path / "figures.json", "abuse", "--attack", "broken-frames", "--seconds", "1")
    (outcome,) = figures["outcomes"]
    assert outcome["alone"]["delivery"]["count"] > 0
    assert outcome["beside"]["delivery"]["count"] > 0
    assert (outcome["alone"]["failed"], outcome["beside"]["failed"]) == ({}, {})
    assert sum(outcome["told"].values()) > 0
