"""What stops a command, as one line that says how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer


class Fault(Exception):
    """A command cannot go on. `mend`: what the person can do about it. `status`: the exit status."""

    def __init__(self, what: str, mend: str, status: int = 1) -> None:
        super().__init__(f"{what}; {mend}" if mend else what)
        self.status = status


INTERRUPTED = 130


@contextmanager
def told() -> Iterator[None]:
    """Print errors that somebody can mend on stderr and end with their status; defects keep their traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        fault = error if isinstance(error, Fault) else explain(error)
        if fault is None:
            raise
        print(f"tidings: {fault}", file=sys.stderr)
        raise typer.Exit(fault.status) from None


def explain(error: Exception) -> Fault | None:
    """The fault that an error of ours stands for, or None for a defect."""
    from commands.errors import Corrupt, TidingsError
    from infra.sqlite.database import DataDirectoryInUse
    from projections.ports import LogMismatch
    from streams.log_reader import NoLog
    from streams.places import BadPlace

    match error:
        case DataDirectoryInUse():
            return Fault(str(error), "stop that one, or choose another directory with --data DIR")
        case LogMismatch():
            return Fault(
                str(error),
                "if the log is the one you want, remove the views-*.db files: they are folded anew from it",
            )
        case BadPlace():
            return Fault(str(error), "", 2)
        case NoLog():
            return Fault(str(error), "name the data directory with --data DIR or TIDINGS_DATA, or start tidings serve")
        case Corrupt():
            return Fault(str(error), "")  # says itself what to put back
        case TidingsError() if error.code == "invalid" and type(error).__name__ == "BadSettings":
            return Fault(f"bad settings: {error}", "set them right in the environment or on the command line", 2)
        case TidingsError():
            return Fault(str(error), "")
        case PermissionError() | NotADirectoryError() | FileExistsError() | IsADirectoryError() if error.filename:
            return Fault(
                f"{Path(str(error.filename))}: {error.strerror}",
                "choose a directory that you may write with --data DIR",
            )
        case _:
            return None
