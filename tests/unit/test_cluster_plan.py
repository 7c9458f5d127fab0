"""A cluster's numbers are kept, and those of nodes that hold data never change."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.cluster.plan import Plan, PlanUnsuitable, read_plan, write_plan


def test_what_is_not_asked_for_stays_as_it_was() -> None:
    assert Plan(gateways=5).changed(workers=3, kafka=None) == Plan(gateways=5, workers=3)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cluster"
    assert read_plan(folder) is None
    write_plan(folder, Plan(kafka=3, gateways=4))
    assert read_plan(folder) == Plan(kafka=3, gateways=4)
    write_plan(folder, Plan(kafka=3, gateways=1))
    assert read_plan(folder) == Plan(kafka=3, gateways=1)


@pytest.mark.parametrize("plan", [Plan(kafka=3), Plan(cassandra=3)])
def test_nodes_that_hold_data_do_not_come_or_go(tmp_path: Path, plan: Plan) -> None:
    write_plan(tmp_path, Plan())
    with pytest.raises(PlanUnsuitable, match="cannot become"):
        write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == Plan()


@pytest.mark.parametrize("plan", [Plan(kafka=2), Plan(cassandra=0)])
def test_there_are_one_or_three(tmp_path: Path, plan: Plan) -> None:
    with pytest.raises(PlanUnsuitable, match="one or three"):
        write_plan(tmp_path, plan)
    assert read_plan(tmp_path) is None


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "there before").mkdir(mode=0o755)
    for name in ("there before", "made"):
        write_plan(tmp_path / name, Plan())
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700
