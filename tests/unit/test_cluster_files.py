"""Files that several services of a cluster may write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from infra.cluster.files import write_once


def test_of_many_who_write_at_once_one_does(tmp_path: Path) -> None:
    """Three brokers make the id of their cluster; two ids would be two clusters."""
    file = tmp_path / "cluster.json"
    together = Barrier(8)

    def write(number: int) -> str:
        together.wait()
        write_once(file, f"{number}" * 1_000)
        return file.read_text()

    with ThreadPoolExecutor(8) as threads:
        (seen,) = set(threads.map(write, range(8)))
    assert seen == seen[0] * 1_000
    assert list(tmp_path.iterdir()) == [file]
