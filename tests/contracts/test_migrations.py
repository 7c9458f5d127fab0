"""Two releases on one database: the older one goes on after what a newer one added, and else says one sentence."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from commands.errors import Corrupt
from infra.cli.checks.data import accounts as doctor
from infra.master_key import MasterKey
from infra.settings import Settings
from infra.sql.database import Database, place_of, sqlite_url
from infra.sql.inspection import look_at
from infra.sql.migrate import MIGRATIONS, TooNew, upgrade
from tests.support.cli import run
from tests.support.people import MASTER, PASSWORD, site
from tests.support.postgres import empty_database

ADDED = "op.add_column('users', sa.Column('birthday', sa.String(10)))"
TAKEN_AWAY = "op.drop_column('users', 'birthday'); op.alter_column('users', 'display_name', new_column_name='called')"


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "postgres":
        yield await empty_database(request.getfixturevalue("postgres"))
    else:
        yield sqlite_url(tmp_path / "accounts.db")


async def migrated(url: str, folder: Path, *migrations: tuple[str, str]) -> None:
    """What later releases do: migrations of theirs, each a statement and the oldest code that it leaves at work."""
    later = folder / "later"
    shutil.copytree(MIGRATIONS, later, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    newest = max(path.name[:4] for path in (later / "versions").glob("0*.py"))
    for number, (statement, oldest) in enumerate(migrations, start=int(newest) + 1):
        lines = (
            "import sqlalchemy as sa",
            "from alembic import op",
            f"revision, down_revision = '{number:04}', '{number - 1:04}'",
            "branch_labels = depends_on = None",
            f"oldest_code = '{oldest}'",
            "def upgrade():",
            f"    {statement}",
        )
        (later / "versions" / f"{number:04}_later.py").write_text("\n".join(lines))
    place = place_of(url)
    await place.write(lambda db: upgrade(db, later))
    await place.close()


async def test_an_older_release_works_with_what_a_newer_one_added(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url) as its:
        before = await its.accounts.register("ana", PASSWORD)
    await migrated(url, tmp_path, (ADDED, "0001"))
    async with site(tmp_path, url=url) as its:
        assert (await its.accounts.login("ana", PASSWORD)).user == before.user
        await its.accounts.register("ben", PASSWORD)
    found = await look_at(url)
    assert found.newer
    assert not found.too_new
    assert found.users == 2


async def test_a_release_that_runs_while_a_newer_one_migrates_goes_on(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url) as its:
        await its.accounts.register("ana", PASSWORD)
        await migrated(url, tmp_path, (ADDED, "0001"))
        await its.accounts.register("ben", PASSWORD)
        assert (await its.accounts.login("ana", PASSWORD)).user.username == "ana"


async def test_an_older_release_says_in_one_sentence_what_it_cannot_use(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url) as its:
        await its.accounts.register("ana", PASSWORD)
    await migrated(url, tmp_path, (ADDED, "0001"), (TAKEN_AWAY, "0005"))
    with pytest.raises(TooNew, match=r"at revision \d{4}, made by a newer release, and need revision 0005 or later"):
        await Database.open(url, MasterKey(MASTER))


async def test_what_a_newer_release_did_not_vouch_for_is_not_used(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url):
        pass
    await migrated(url, tmp_path, (ADDED, "0001"))
    place = place_of(url)
    await place.write(lambda db: db.execute(text("DELETE FROM installation WHERE name = 'oldest_code'")))
    await place.close()
    with pytest.raises(TooNew, match="need a release that knows it"):
        await Database.open(url, MasterKey(MASTER))


async def test_a_revision_of_nobody_is_told(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url):
        pass
    place = place_of(url)
    await place.write(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '0000'")))
    await place.close()
    with pytest.raises(Corrupt, match="at revision 0000, which no release made"):
        await Database.open(url, MasterKey(MASTER))


async def test_tables_that_were_made_before_get_the_word_at_the_next_start(url: str, tmp_path: Path) -> None:
    async with site(tmp_path, url=url) as its:
        await its.database.write(lambda db: db.execute(text("DELETE FROM installation WHERE name = 'oldest_code'")))
    async with site(tmp_path, url=url) as its:
        kept = await its.database.read(
            lambda db: db.execute(text("SELECT value FROM installation WHERE name = 'oldest_code'")).scalar_one()
        )
    assert bytes(kept) == b"0001"


def test_commands_of_an_older_release_end_with_one_line(tmp_path: Path) -> None:
    import asyncio

    data = tmp_path / "data"
    data.mkdir()
    url = sqlite_url(data / "accounts.db")
    (data / "master.key").write_text("00" * 32)

    async def made() -> None:
        await (await Database.open(url, MasterKey(bytes(32)))).close()
        await migrated(url, tmp_path, (ADDED, "0001"), (TAKEN_AWAY, "0005"))

    asyncio.run(made())
    done = run(data, "admin", "users")
    assert done.status == 1
    assert done.stderr.count("\n") == 1
    assert "start the newer release" in done.stderr
    check = doctor(Settings(data=data))
    assert check.state == "fail"
    assert "made by a newer release" in check.found
    assert "start the newer release" in check.mend
