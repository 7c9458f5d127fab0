"""Files in a bucket: the adapter of `Blobs` for whatever speaks S3.

boto3 in threads (ADR 0030). An object goes in one request, which happens whole or not at all: at 100 MB nothing needs
to be put in parts, so no half-finished upload can be left behind in the bucket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from commands.errors import Invalid, NoSuchFile, Unavailable

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:  # pragma: no cover - told to whoever set it up so
    raise Invalid("files in s3:// need the extra s3: pip install 'tidings[s3]'") from error

THREADS = 16
CHUNK_BYTES = 256 * 1024
_AT_ONCE = 1_000
_RULE = "tidings-files"
_ABSENT = "NoSuchKey"

log = logging.getLogger(__name__)
T = TypeVar("T")


class S3Blobs:
    """`url`: `s3://bucket` or `s3://bucket/prefix`. `endpoint`: of a store other than AWS. Credentials and region come
    from where every AWS tool looks for them. `direct`: whether clients can reach the store, so that links lead there.
    """

    def __init__(self, url: str, *, endpoint: str | None = None, direct: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise Invalid(f"{url!r} is no s3://bucket/prefix")
        self._bucket = parts.netloc
        prefix = parts.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._direct = direct
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        with s3_errors():
            self._s3: Any = boto3.client(
                "s3",
                endpoint_url=endpoint,
                config=Config(
                    max_pool_connections=THREADS,
                    connect_timeout=3,
                    read_timeout=20,
                    retries={"mode": "standard", "max_attempts": 3},
                    signature_version="s3v4",
                    # Other stores than AWS do not take checksums in trailers.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    @property
    def address(self) -> str:
        """Where links lead."""
        return str(self._s3.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": "a/b"}))

    async def prepare(self, life: timedelta) -> None:
        """Let the bucket remove objects by itself after `life`, beside other rules that it has.

        Told in the log where the store does not allow it: the sweeper removes them too. Raises Unavailable.
        """
        try:
            await self._run(lambda: self._set_lifecycle(max(1, life.days)))
        except _Denied as denied:
            log.warning(
                "the bucket %s takes no lifecycle rule (%s): only the sweeper removes files", self._bucket, denied
            )

    async def put(self, key: str, source: Path, content_type: str) -> None:
        def put() -> None:
            with source.open("rb") as body:
                self._s3.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body, ContentType=content_type)

        await self._run(put)

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        if length <= 0:
            return
        span = f"bytes={start}-{start + length - 1}"
        answer = await self._run(lambda: self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=span))
        body = answer["Body"]
        try:
            while piece := await self._run(lambda: body.read(CHUNK_BYTES)):
                length -= len(piece)
                yield piece
        finally:
            body.close()
        if length:
            raise Unavailable("the storage broke off")

    async def delete(self, keys: Collection[str]) -> None:
        listed = [{"Key": self._prefix + key} for key in keys]
        for start in range(0, len(listed), _AT_ONCE):
            objects = {"Objects": listed[start : start + _AT_ONCE], "Quiet": True}
            answer = await self._run(partial(self._s3.delete_objects, Bucket=self._bucket, Delete=objects))
            for failure in answer.get("Errors", ()):
                if failure.get("Code") != _ABSENT:
                    raise Unavailable(f"an object cannot be removed: {failure.get('Code')}")

    async def link(self, key: str, life: timedelta, content_type: str, disposition: str) -> str | None:
        if not self._direct:
            return None
        asked = {
            "Bucket": self._bucket,
            "Key": self._prefix + key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        seconds = int(life.total_seconds())
        return str(self._s3.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))

    async def ping(self) -> None:
        await self._run(lambda: self._s3.head_bucket(Bucket=self._bucket))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._s3.close()

    def _set_lifecycle(self, days: int) -> None:
        try:
            rules = self._s3.get_bucket_lifecycle_configuration(Bucket=self._bucket)["Rules"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
                raise _told(error) from error
            rules = []
        name = f"{_RULE}-{self._prefix.strip('/')}" if self._prefix else _RULE
        own = {
            "ID": name,
            "Status": "Enabled",
            "Filter": {"Prefix": self._prefix},
            "Expiration": {"Days": days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
        others = [rule for rule in rules if rule.get("ID") != name]
        if [rule for rule in rules if rule.get("ID") == name] != [own]:
            self._s3.put_bucket_lifecycle_configuration(
                Bucket=self._bucket, LifecycleConfiguration={"Rules": [*others, own]}
            )

    async def _run(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            with s3_errors():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._threads, translated)


class _Denied(Unavailable):
    """The store refuses, or does not know, what was asked."""


@contextmanager
def s3_errors() -> Iterator[None]:
    """The one place where errors of the driver become ours."""
    try:
        yield
    except ClientError as error:
        raise _told(error) from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"the storage of files cannot be reached: {error}") from error


def _told(error: ClientError) -> Unavailable | NoSuchFile:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code == _ABSENT:
        return NoSuchFile("the bytes of this file are gone")
    if code in ("AccessDenied", "NotImplemented", "MethodNotAllowed", "403", "501"):
        return _Denied(f"the storage of files refuses: {code}")
    return Unavailable(f"the storage of files answers {code}")
