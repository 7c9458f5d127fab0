"""What a person can do about what goes wrong with a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.cli.faults import Fault
from infra.cluster.jars import JarsMissing
from infra.cluster.local import LocalCluster, NoCluster, NoSuchService, opened
from infra.cluster.plan import PlanUnsuitable
from infra.cluster.programs import ProgramMissing
from infra.cluster.service import ServiceFailed


@contextmanager
def mended(name: str = "NAME") -> Iterator[None]:
    """Turn what a cluster raises into faults that say what to do. `name`: of the service that it is about."""
    try:
        yield
    except (NoCluster, NoSuchService, PlanUnsuitable, ProgramMissing, JarsMissing, ServiceFailed) as error:
        raise fault_of(error, name) from error


def fault_of(error: Exception, name: str = "NAME") -> Fault:
    """`name`: of the service that it is about. Raises what is no cluster's error."""
    match error:
        case NoCluster():
            return Fault(str(error), "tidings cluster up makes one")
        case NoSuchService():
            return Fault(str(error), "", 2)
        case PlanUnsuitable():
            return Fault(str(error), "leave the numbers out, or begin anew after tidings cluster down --erase", 2)
        case ProgramMissing():
            return Fault(str(error), "")  # says itself how to mend it
        case JarsMissing():
            return Fault(str(error), "see that Maven Central can be reached, then say the same again")
        case ServiceFailed():
            return Fault(str(error), f"its whole log: tidings cluster logs {name}")
        case _:
            raise error


def found(folder: Path) -> LocalCluster:
    """The cluster in a folder. Raises Fault."""
    with mended():
        return opened(folder)
