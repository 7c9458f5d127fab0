"""`tidings events export`: what to write where, and how far it is."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from infra.analysts import manifest as manifests
from infra.analysts.export import Target, export, following_on
from infra.analysts.manifest import Manifest
from infra.analysts.storage import storage_of
from infra.cli.console import progress
from infra.cli.faults import Fault
from infra.log_readers import open_log_reader
from infra.settings import Settings
from streams.places import offsets_of


def run(
    settings: Settings, out: str, since: bool, given: Path | None, begin: str, until: str | None, workers: int | None
) -> None:
    """The whole command. Raises Fault, BadPlace, Corrupt, Unavailable."""
    if given is not None and not since:
        raise Fault("a manifest is only for --since-manifest", "add that, or leave it out", 2)
    if since and begin != "start":
        raise Fault("--since-manifest says where to begin", "leave --from out", 2)
    target = Target(out, settings.s3_endpoint)
    now = datetime.now(UTC)
    with closing(open_log_reader(settings)) as reader, progress() as bars:
        ends = reader.ends()
        first = offsets_of(begin, reader, ends, now)
        last = ends if until is None else offsets_of(until, reader, ends, now)
        last = {partition: min(offset, ends[partition]) for partition, offset in last.items() if partition in first}
        first = {partition: offset for partition, offset in first.items() if partition in last}
        own = manifests.read(storage_of(target.place, target.endpoint)) if since and given is None else None
        before: Manifest | None = own
        if since:
            if given is not None:
                own = manifests.decode(given.read_bytes(), str(given))
            if own is None:
                raise Fault(f"there is no {manifests.NAME} in {out}", "export once without --since-manifest")
            first = following_on(own, reader)
            last = {partition: max(last.get(partition, 0), offset) for partition, offset in first.items()}
        task = bars.add_task("Exporting", total=0)
        made = export(
            settings,
            reader,
            first,
            last,
            target,
            before=before,
            workers=workers,
            begun=lambda records: bars.update(task, total=records),
            report=lambda records: bars.advance(task, records),
        )
    told = {
        "manifest": f"{out.rstrip('/')}/{manifests.NAME}",
        "events": made.events,
        "files": len(made.files),
        "bytes": sum(file.bytes for file in made.files),
        "from": made.from_offsets,
        "to": made.to_offsets,
        "types": made.types,
    }
    print(json.dumps(told))
