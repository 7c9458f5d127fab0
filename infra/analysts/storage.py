"""Where exports lie: a folder, or a bucket's prefix. Objects appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from commands.errors import Invalid, Unavailable


class Storage(Protocol):
    """Names are relative, with slashes. All raise Unavailable while a bucket is away, and OSError for a folder."""

    def read(self, name: str) -> bytes | None:
        """None where there is no such object."""

    def write(self, name: str, content: bytes) -> None: ...

    def remove(self, name: str) -> None:
        """Quiet where there is none."""


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Hidden from whoever lists the folder, and of this process alone.
        passing = target.with_name(f".{target.name}.{os.getpid()}")
        with passing.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        passing.replace(target)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


class Bucket:
    """S3 or what speaks like it. Credentials come from where its clients look for them: AWS_* and its files."""

    def __init__(self, prefix: str, endpoint: str | None) -> None:
        """`prefix`: `bucket/path`."""
        self.prefix = prefix.rstrip("/")
        self.files = bucket_files(endpoint)

    def read(self, name: str) -> bytes | None:
        try:
            with self.files.open_input_stream(f"{self.prefix}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"the bucket answers: {error}") from error

    def write(self, name: str, content: bytes) -> None:
        try:
            with self.files.open_output_stream(f"{self.prefix}/{name}") as stream:
                stream.write(content)
        except (OSError, pa.ArrowException) as error:
            raise Unavailable(f"the bucket answers: {error}") from error

    def remove(self, name: str) -> None:
        try:
            self.files.delete_file(f"{self.prefix}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"the bucket answers: {error}") from error


def bucket_files(endpoint: str | None) -> fs.S3FileSystem:
    """`endpoint`: a URL, for other S3 than Amazon's."""
    if endpoint is None:
        return fs.S3FileSystem()
    parts = urlsplit(endpoint)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return fs.S3FileSystem(endpoint_override=parts.netloc, scheme=parts.scheme, region=region)


def storage_of(place: str, endpoint: str | None) -> Storage:
    """The folder or `s3://bucket/prefix` that `place` names. Raises Invalid."""
    scheme, _, rest = place.rpartition("://")
    bucket = rest.partition("/")[0]
    if scheme == "s3" and bucket and not set(bucket) & set("@:"):
        return Bucket(rest, endpoint)
    if scheme or not place or "\0" in place:
        raise Invalid(
            f"{place!r} is no place for an export: name a folder, or s3://bucket/prefix, with credentials in AWS_* "
            "variables or a profile"
        )
    return Folder(Path(place))
