"""A real S3 server process, moto's, with buckets of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import pytest

from tests.support.server import free_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class S3:
    """`endpoint`: where it listens."""

    endpoint: str

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"tidings-{uuid4().hex[:20]}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self) -> Any:
        """boto3's own client."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id="tests", aws_secret_access_key="tests",
            region_name="us-east-1",
        )  # fmt: skip


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    port = free_port()
    output = tmp_path_factory.mktemp("s3") / "output"
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/moto-api/", process, output)
        yield S3(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    until = monotonic() + PATIENCE_S
    while True:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, ConnectionError, TimeoutError) as error:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                if monotonic() < until:
                    continue
            raise RuntimeError(f"moto's server does not answer: {output.read_text()}") from error
