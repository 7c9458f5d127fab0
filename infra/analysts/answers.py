"""What a query gave, as a table for the eye, CSV, JSON lines or Parquet, as it comes."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

_WIDEST = 60


def as_table(reader: pa.RecordBatchReader, out: BinaryIO) -> None:
    """Columns as wide as the first batch asks for; later rows may stick out."""
    names = reader.schema.names
    numbers = [
        pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_decimal(of) for of in reader.schema.types
    ]
    batches = (_cells(batch) for batch in reader)
    first = next(batches, [])
    widths = [min(_WIDEST, max([len(name), *(len(row[at]) for row in first)])) for at, name in enumerate(names)]

    def line(cells: Iterable[str]) -> bytes:
        padded = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(cells, widths, numbers, strict=True)
        ]
        return ("  ".join(padded).rstrip() + "\n").encode()

    out.write(line(names))
    out.write(line("-" * width for width in widths))
    for rows in chain([first], batches):
        for row in rows:
            out.write(line(cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…" for cell in row))


def as_csv(reader: pa.RecordBatchReader, out: BinaryIO) -> None:
    """RFC 4180 with a line of names. Lists and bytes are written as JSON writes them."""
    flat = pa.schema([(field.name, pa.string() if _is_deep(field.type) else field.type) for field in reader.schema])
    with csv.CSVWriter(out, flat) as writer:
        for batch in reader:
            columns = [
                pa.array([None if each is None else _text(each) for each in column.to_pylist()], pa.string())
                if _is_deep(column.type)
                else column
                for column in batch.columns
            ]
            writer.write_batch(pa.record_batch(columns, schema=flat))


def as_json(reader: pa.RecordBatchReader, out: BinaryIO) -> None:
    """An object a line; bytes in base64, times as RFC 3339 writes them."""
    for batch in reader:
        for row in batch.to_pylist():
            out.write(json.dumps(row, default=_plain, ensure_ascii=False).encode() + b"\n")


def as_parquet(reader: pa.RecordBatchReader, out: BinaryIO) -> None:
    # Its writer asks where it stands, which a pipe cannot say.
    with TemporaryFile() as passing:
        with pq.ParquetWriter(passing, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
        passing.seek(0)
        shutil.copyfileobj(passing, out)


OUTPUTS: dict[str, Callable[[pa.RecordBatchReader, BinaryIO], None]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "parquet": as_parquet,
}


def _cells(batch: pa.RecordBatch) -> list[list[str]]:
    return [["" if cell is None else _text(cell) for cell in row.values()] for row in _rows(batch)]


def _rows(batch: pa.RecordBatch) -> list[dict[int, Any]]:
    # By number, not by name: a query may give two columns one name.
    columns = [column.to_pylist() for column in batch.columns]
    return [dict(enumerate(row)) for row in zip(*columns, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, list | dict):
        text = json.dumps(value, default=_plain, ensure_ascii=False)
    else:
        text = str(_plain(value) if not isinstance(value, bool | int | float) else value)
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return value.total_seconds()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case UUID():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")


def _is_number(of: pa.DataType) -> bool:
    return any(test(of) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _is_deep(of: pa.DataType) -> bool:
    return any(test(of) for test in (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary))
