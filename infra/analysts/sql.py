"""`tidings sql`: DuckDB over an export, or over the log itself, which is exported to a passing folder first.

`events` has the envelope of every event; each event type has a view of its own, named with an underscore for the dot,
with its fields under their own names. `unreadable` lists records that are no events.
"""

from __future__ import annotations

import duckdb
import pyarrow.dataset as ds
from pyarrow import fs

from infra.analysts import manifest as manifests
from infra.analysts.columns import FIELDS, SCHEMA, UNREADABLE, prefix
from infra.analysts.manifest import Manifest
from infra.analysts.storage import Bucket, Folder, Storage
from infra.cli.faults import Fault

_PLACE = 'partition, "offset", partition || \':\' || "offset" AS position, appended_at'
_ENVELOPE = "event_id, type, version, chat_id, actor_id, occurred_at"


def open_export(storage: Storage) -> duckdb.DuckDBPyConnection:
    """A database in memory with the views over an export. Times are told in UTC. Raises Fault, Corrupt, Unavailable."""
    manifest = manifests.read(storage)
    if manifest is None:
        raise Fault(f"there is no {manifests.NAME} there", "tidings events export makes one")
    db = duckdb.connect(":memory:")
    db.execute("SET TimeZone = 'UTC'")
    # Files are listed by name, not looked for: what an interrupted export left does not count.
    db.register("everything", _dataset(storage, manifest))
    db.execute(f"CREATE VIEW events AS SELECT {_PLACE}, {_ENVELOPE} FROM everything WHERE error IS NULL")
    for kind, fields in FIELDS.items():
        own = ", ".join(f'{prefix(kind)}_{field} AS "{field}"' for field in fields)
        db.execute(
            f"CREATE VIEW {prefix(kind)} AS SELECT {_PLACE}, {_ENVELOPE}, {own} FROM everything WHERE type = '{kind}'"
        )
    bad = ", ".join(UNREADABLE)
    db.execute(f"CREATE VIEW unreadable AS SELECT {_PLACE}, chat_id, {bad} FROM everything WHERE error IS NOT NULL")
    return db


def _dataset(storage: Storage, manifest: Manifest) -> ds.Dataset:
    match storage:
        case Folder(path=path):
            files, root = fs.LocalFileSystem(), str(path.resolve())
        case Bucket(prefix=root, files=files):
            pass
        case _:
            raise TypeError(f"no data set can be made of {storage}")
    paths = [f"{root}/{file.path}" for file in manifest.files]
    return ds.dataset(paths, schema=SCHEMA, format="parquet", filesystem=files)
