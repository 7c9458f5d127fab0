"""`tidings backup` and `tidings restore`. Nothing but Typer is imported until one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.faults import Fault, told
from infra.cli.options import Data, Json, settings_of


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Back up the log, the accounts with their sealing keys and what was discarded, while the server runs.

    The master key is not in it: keep a copy of that apart. In a cluster the accounts alone are backed up. Files that
    people sent are not: copy their folder, or have the bucket keep them.
    """
    with told():
        import json
        from datetime import UTC, datetime

        from infra.backup.taking import FolderInUse, NothingToBackUp, back_up

        settings = settings_of(data)
        try:
            with _bars() as begin:
                made = back_up(settings, folder, datetime.now(UTC), begin)
        except FolderInUse as error:
            raise Fault(str(error), "name a new one: backups are never overwritten") from error
        except NothingToBackUp as error:
            raise Fault(str(error), "name the data directory with --data DIR or TIDINGS_DATA") from error
        told_of = {"users": made.users, "destroyed": made.destroyed, "ends": made.log.ends}
        size = sum(part.size for part in made.files)
        if as_json:
            print(json.dumps({"folder": str(folder), "bytes": size, **told_of}))
        else:
            print(f"{folder}: {made.users} users, {_records(made)} events, {size / 1e6:,.1f} MB")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What tidings backup made.")],
    destroyed: Annotated[
        list[Path] | None,
        typer.Option(
            "--destroyed",
            metavar="FILE",
            help="A later list of destroyed keys, of tidings admin destroyed; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Restore a backup into a new data directory, with its master key in it or in TIDINGS_MASTER_KEY.

    Whoever was erased before the backup, or by a list that is given, or by the log, stays erased. The read models are
    folded from the log at the next start. In a cluster the accounts go into PostgreSQL, which must have none.
    """
    with told():
        import json

        from infra.backup.copies import Occupied
        from infra.backup.manifest import BadBackup
        from infra.backup.restoring import NoMasterKey, OtherKind
        from infra.backup.restoring import restore as work
        from infra.backup.taking import FolderInUse

        settings = settings_of(data)
        try:
            with _bars() as begin:
                done = work(settings, folder, destroyed or [], begin)
        except BadBackup as error:
            raise Fault(str(error), "nothing was restored; take another backup") from error
        except (FolderInUse, Occupied) as error:
            raise Fault(str(error), "restore into a new one: nothing is ever overwritten") from error
        except NoMasterKey as error:
            raise Fault(str(error), "put the master key of the backed-up installation there") from error
        except OtherKind as error:
            raise Fault(str(error), "docs/operating.md tells how each is restored") from error
        made = done.manifest
        if as_json:
            print(json.dumps({"users": made.users, "erased_again": done.erased, "ends": made.log.ends}))
            return
        print(
            f"as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC: {made.users} users, {_records(made)} events; "
            f"{done.erased} erased again"
        )


def _records(made: Any) -> int:
    return sum(made.log.ends.values())


def _bars() -> Any:
    from contextlib import contextmanager

    from infra.cli.console import progress

    @contextmanager
    def bars() -> Any:
        with progress() as shown:

            def begin(what: str) -> Any:
                task = shown.add_task(what, total=None)
                return lambda done, total: shown.update(task, completed=done, total=total)

            yield begin

    return bars()
