"""What stops a command, as one line that says how to mend it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from infra.masking import masked


class Fault(Exception):
    """A command cannot go on. `mend`: what the person can do about it. `status`: the exit status."""

    def __init__(self, what: str, mend: str, status: int = 1) -> None:
        super().__init__(f"{what}; {mend}" if mend else what)
        self.status = status


INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_MENDABLE = (
    *_NO_ROOM,
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EIO, errno.ENOTEMPTY, errno.EBUSY, errno.EMFILE),
)
"""Of the system's errors, those that speak of the machine and not of a defect of ours."""
_EXTRAS = {
    **dict.fromkeys(("psycopg", "confluent_kafka", "cassandra", "faust", "redis"), "cluster"),
    **dict.fromkeys(("duckdb", "pyarrow", "boto3", "botocore"), "analysts"),
    "h2": "push",
    "opentelemetry": "tracing",
}
"""Module → the extra that brings it."""


@contextmanager
def told() -> Iterator[None]:
    """Print errors that somebody can mend on stderr and end with their status; defects keep their traceback. Who reads
    stdout may go at any time, as `head` does: that is no error."""
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # What is still buffered has nobody to go to, and would be complained of at the end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except Exception as error:
        fault = error if isinstance(error, Fault) else explain(error)
        if fault is None:
            raise
        print(f"tidings: {masked(' '.join(str(fault).split()))}", file=sys.stderr)
        raise typer.Exit(fault.status) from None


def explain(error: Exception) -> Fault | None:
    """The fault that an error of ours stands for, or None for a defect."""
    from commands.errors import Corrupt, TidingsError, Unavailable
    from infra.sqlite.database import Damaged, DataDirectoryInUse, Unusable
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
        case Corrupt() | Damaged():
            return Fault(str(error), "")  # says itself what to put back
        case Unusable():
            return Fault(str(error), "see to the disk and to who owns the folder, or choose another with --data DIR")
        case TidingsError() if error.code == "invalid" and type(error).__name__ == "BadSettings":
            return Fault(f"bad settings: {error}", "set them right in the environment or on the command line", 2)
        case Unavailable():
            return Fault(str(error), "tidings doctor tells what is away, and why")
        case TidingsError():
            return Fault(str(error), "")
        case ModuleNotFoundError() if error.name and error.name.partition(".")[0] in _EXTRAS:
            extra = _EXTRAS[error.name.partition(".")[0]]
            return Fault(f"{error.name} is not installed", f"pip install 'tidings[{extra}]'")
        case OSError() if error.errno in _MENDABLE:
            where = f"{Path(str(error.filename))}: " if error.filename else ""
            mend = "make room" if error.errno in _NO_ROOM else "name one that you may use, such as with --data DIR"
            return Fault(f"{where}{error.strerror}", mend)
        case _:
            return None
