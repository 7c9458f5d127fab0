"""A release after this one: a copy of the checkout with one more migration of the accounts, which only adds."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.cluster.local import LocalCluster
from infra.cluster.tidings import ROOT, Gateway, Worker
from infra.sql.inspection import look_at

PACKAGES = ("events", "commands", "projections", "streams", "api", "infra")
_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{number:04}", "{before:04}"
branch_labels = depends_on = None
oldest_code = "{before:04}"


def upgrade() -> None:
    op.add_column("users", sa.Column("birthday", sa.String(10)))
"""


def next_release(folder: Path) -> Path:
    """Where the packages of the next release lie; made in `folder` at the first call."""
    root = folder / "next-release"
    if not root.exists():
        making = folder / "next-release.part"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, making / package, ignore=shutil.ignore_patterns("__pycache__"))
        versions = making / "infra" / "sql" / "migrations" / "versions"
        before = max(int(path.name[:4]) for path in versions.glob("[0-9]*.py"))
        (versions / f"{before + 1:04}_birthday.py").write_text(_MIGRATION.format(number=before + 1, before=before))
        making.rename(root)
    return root


async def exchange(cluster: LocalCluster, names: Sequence[str], root: Path) -> None:
    """One after the other ends in good order and comes back with the code at `root`."""
    for name in names:
        service = cluster.service(name)
        assert isinstance(service, Gateway | Worker)
        await asyncio.to_thread(service.end)
        service.root = root
        await asyncio.to_thread(service.start)


async def begin_upgrade(cluster: LocalCluster) -> None:
    """Half of the processes become of the next release, workers first; the gateway migrates."""
    await exchange(cluster, ["worker-2", "gateway-2"], next_release(cluster.folder))
    found = await look_at(cluster.postgres.url)
    assert found.newer, "the next release migrated nothing"
    assert not found.too_new, found.too_new


async def restart_older(cluster: LocalCluster) -> None:
    """In the middle of it the older ones crash, and come back on what was migrated."""
    for name in ("gateway-1", "worker-1"):
        service = cluster.service(name)
        await asyncio.to_thread(service.kill)
        await asyncio.to_thread(service.start)


async def finish_and_go_back(cluster: LocalCluster) -> None:
    """The rest follows; and then all go back, as after a release that turned out bad."""
    await exchange(cluster, ["worker-1", "gateway-1"], next_release(cluster.folder))
    await exchange(cluster, ["gateway-2", "worker-2", "gateway-1", "worker-1"], ROOT)
