"""What a local cluster consists of: how many of each, written down in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infra.cluster.files import write_whole
from infra.private import private_folder, tighten

PLAN_FILE = "cluster.json"
NODES = (1, 3)
"""How many nodes of Kafka and of Cassandra there may be: two are no safer than one, and less often there."""


class PlanUnsuitable(Exception):
    """Such a cluster cannot be, or this one cannot become so; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of each. Records are kept thrice where there are three brokers, rows where there are three nodes."""

    kafka: int = 1
    cassandra: int = 1
    gateways: int = 2
    workers: int = 2

    def changed(
        self,
        *,
        kafka: int | None = None,
        cassandra: int | None = None,
        gateways: int | None = None,
        workers: int | None = None,
    ) -> Plan:
        """The plan with what is given in the place of what was."""
        asked = {"kafka": kafka, "cassandra": cassandra, "gateways": gateways, "workers": workers}
        return replace(self, **{kind: number for kind, number in asked.items() if number is not None})


def read_plan(folder: Path) -> Plan | None:
    """The plan of the cluster in a folder, None where there is none."""
    try:
        return Plan(**json.loads((folder / PLAN_FILE).read_text()))
    except FileNotFoundError:
        return None


def write_plan(folder: Path, plan: Plan) -> None:
    """Raises PlanUnsuitable where nodes that hold data would come or go: nothing would move the data."""
    if plan.kafka not in NODES or plan.cassandra not in NODES:
        raise PlanUnsuitable("there are one or three nodes of Kafka, and one or three of Cassandra")
    before = read_plan(folder)
    if before is not None and (before.kafka, before.cassandra) != (plan.kafka, plan.cassandra):
        raise PlanUnsuitable(
            f"this cluster was made with {before.kafka} of Kafka and {before.cassandra} of Cassandra, "
            f"which cannot become {plan.kafka} and {plan.cassandra}"
        )
    private_folder(folder)
    tighten([folder])  # all data, logs and secrets of a whole cluster are in it
    if before != plan:
        write_whole(folder / PLAN_FILE, json.dumps(asdict(plan)))
