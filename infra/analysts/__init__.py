"""The log for analysts: Parquet, SQL over it, and figures. Needs the extra `analysts`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infra.cli.faults import Fault

_OF_THE_EXTRA = ("duckdb", "pyarrow")


@contextmanager
def extra() -> Iterator[None]:
    """Say what to install where a library of the extra is missing. Raises Fault."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise Fault(f"{error.name} is not installed", "pip install 'tidings[analysts]'") from error
