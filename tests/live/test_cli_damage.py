"""Whatever is wrong with the data folder: a command ends with one line that names it and the way out."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from ctypes import CDLL
from pathlib import Path

import pytest

from infra.cli import serving
from infra.layout import log_file
from tests.support.cli import Done, environment, run
from tests.support.server import ROOT

Harm = Callable[[Path], object]
CHAT = "0196b1a0-0000-7000-8000-000000000001"

# Every command that opens something in the data folder; {} is a folder that is not there yet.
READ_LOG = (
    "events tail --no-follow",
    "events cat",
    "events cat --reveal",
    "events export --out {}",
    "events replay --speed max --into file://{}",
    f"at 0:5 chat {CHAT}",
    "at 0:5 inbox ana",
    "sql SELECT",
    "stats",
    "models fold activity",
    "models show activity",
    "projections hash",
    "projections hash --rebuild",
    "projections list",
    "projections lag",
    "projections positions",
    "projections rebuild",
    "dead-letters list",
    f"dead-letters retry {CHAT}",
    "audit",
    f"repair {CHAT}",
    "backup {}",
    "serve --port 0",
    "serve --port 0 --demo",
    "doctor --port 0",
)
READ_ACCOUNTS = (
    "admin users",
    "admin grant ana",
    "admin revoke ana",
    "admin destroyed",
    "admin reveals",
    "at 0:5 inbox ana",
    "events cat --reveal",
    "events cat --user ana",
    "push test --device 0196b1a0-0000-7000-8000-000000000001",
    "backup {}",
    "serve --port 0",
    "doctor --port 0",
)
READ_VIEWS = ("projections hash", "projections lag", "audit", "serve --port 0", "doctor --port 0")
READ_PUSHES = ("push log", "serve --port 0", "doctor --port 0")
READ_SECRETS = ("admin users", "serve --port 0", "doctor --port 0")


def something_else(path: Path) -> None:
    path.write_bytes(b"something else " * 5_000)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink(missing_ok=True)


def cut_off(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xff" * 64
    path.write_bytes(content)


def another_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE somebody_elses (a)")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


TABLE: list[tuple[str, tuple[str, ...], tuple[Harm, ...]]] = [
    (
        "log.db",
        READ_LOG,
        (something_else, empty, gone, cut_off, a_folder, broken_pages, another_database, dangling),
    ),
    (
        "accounts.db",
        READ_ACCOUNTS,
        (something_else, empty, gone, cut_off, a_folder, broken_pages, another_database, dangling),
    ),
    ("views-1.db", READ_VIEWS, (something_else, cut_off, a_folder)),
    ("push.db", READ_PUSHES, (something_else, cut_off, a_folder)),
    ("master.key", READ_SECRETS, (something_else, empty, gone, a_folder, dangling)),
    ("jwt.secret", ("serve --port 0", "doctor --port 0"), (something_else, empty, a_folder, dangling)),
    ("generations.json", ("projections list", "audit", "serve --port 0", "doctor --port 0"), (something_else, empty)),
]
WAYS_OUT = (
    "docs/operating.md",
    "backup",
    "remove it",
    "remove generations.json",
    "remove views-1.db",
    "see to the disk",
    "--data DIR",
    "put it back",
    "put your copy of it back",
    "start tidings serve",
)


@pytest.fixture(autouse=True)
def serve_until_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tidings serve` in this process, which ends once it would have served."""
    from infra.app import running

    def serve(settings: object, *, demo: bool = False, on_ready: object = None) -> None:
        async def until_ready() -> None:
            async with running(settings, demo=demo):  # type: ignore[arg-type]
                pass

        asyncio.run(until_ready())

    monkeypatch.setattr(serving, "run_server", serve)
    monkeypatch.setattr(serving, "_log", lambda settings: None)


def carried_out(data: Path, command: str) -> Done:
    words = [word.replace("{}", str(data.parent / "out")) for word in command.split()]
    query = ["select count(*) from events" if word == "SELECT" else word for word in words]
    return run(data, *query)


@pytest.mark.parametrize(
    ("name", "commands", "harm"),
    [(name, commands, harm) for name, commands, harms in TABLE for harm in harms],
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_what_is_wrong_with_a_file_is_one_line_with_the_way_out(
    left: Path, name: str, commands: tuple[str, ...], harm: Harm
) -> None:
    if name == "generations.json":
        (left / name).write_text("{}")
    harm(left / name)
    before = kept(left)
    for command in commands:
        done = carried_out(left, command)  # raises what would be a traceback
        shutil.rmtree(left.parent / "out", ignore_errors=True)
        told = f"{command}: {done.stdout}{done.stderr}"
        assert done.status == 1, told
        if command.startswith("doctor"):
            lines = [line for line in done.stdout.splitlines() if line.startswith("fail")]
            assert any(name in line and any(way in line for way in WAYS_OUT) for line in lines), told
            continue
        lines = [line for line in done.stderr.splitlines() if line.startswith("tidings: ")]
        assert len(lines) == 1, told
        assert name in lines[0] or str(left) in lines[0], told
        assert any(way in lines[0] for way in WAYS_OUT), told
        assert kept(left) == before, f"{command} changed what is kept"


def kept(data: Path) -> dict[str, int]:
    """Names and sizes, without what every reader makes beside a database and the locks."""
    return {
        path.name: path.lstat().st_size
        for path in data.iterdir()
        if not path.name.endswith(("-wal", "-shm", "LOCK", ".lock"))
    }


def test_views_that_are_missing_are_folded_anew(left: Path) -> None:
    (left / "views-1.db").unlink()
    assert carried_out(left, "serve --port 0").status == 0
    assert carried_out(left, "audit").status == 0


def test_a_secret_for_tokens_that_is_missing_is_made_anew(left: Path) -> None:
    (left / "jwt.secret").unlink()
    assert carried_out(left, "serve --port 0").status == 0


def test_a_replayed_log_may_be_served_without_accounts(left: Path, tmp_path: Path) -> None:
    assert run(left, "events", "replay", "--speed", "max", "--into", f"file://{tmp_path}/replayed").status == 0
    assert carried_out(tmp_path / "replayed", "serve --port 0").status == 0


def test_accounts_elsewhere_that_are_empty_are_not_taken_for_new_ones(left: Path) -> None:
    (left / "accounts.db").unlink()
    elsewhere = {"TIDINGS_ACCOUNTS_URL": f"sqlite:///{left.parent}/elsewhere.db"}
    done = run(left, "serve", "--port", "0", settings=elsewhere)
    assert done.status == 1
    assert "elsewhere.db" in done.stderr
    assert "restore a backup" in done.stderr
    (left / "master.key").unlink()
    done = run(left, "serve", "--port", "0", settings=elsewhere)
    assert "master.key is missing" in done.stderr
    assert not (left / "master.key").exists()


# --- folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["/proc/x", "/dev/null", "/dev/null/x", "/sys/x"])
@pytest.mark.parametrize("command", ["serve --port 0", "models fold activity", "events cat", "audit", "admin users"])
def test_a_folder_that_cannot_be_is_told_in_one_line(data: str, command: str) -> None:
    if sys.platform != "linux":
        data = "/dev/null"
    done = run(Path(data), *command.split())
    assert done.status == 1
    assert done.stderr.startswith("tidings: ")
    assert done.stderr.count("\n") == 1
    assert data.removesuffix("/x") in done.stderr
    assert "--data DIR" in done.stderr


@pytest.mark.parametrize("mode", [0o500, 0o000])
@pytest.mark.parametrize("command", ["serve --port 0", "doctor --port 0", "admin users", "audit"])
def test_a_folder_that_is_not_ours_to_write_or_read_is_told_in_one_line(left: Path, mode: int, command: str) -> None:
    for path in left.iterdir():
        path.chmod(0o400 if path.is_file() else 0o500)
    left.chmod(mode)
    try:
        done = without_root(left, *command.split())
    finally:
        left.chmod(0o700)
    assert "Traceback" not in done.stderr
    if mode == 0o500 and command in ("audit", "admin users") and done.status == 0:
        return  # reading may need no right to write
    assert done.status == 1, done.stdout + done.stderr
    if command.startswith("doctor"):
        assert "is not yours to write" in done.stdout
    else:
        [line] = [line for line in done.stderr.splitlines() if line.startswith("tidings: ")]
        assert str(left) in line


def without_root(data: Path, *arguments: str) -> Done:
    """The command, by somebody for whom the modes of files count: also where the tests are run by root."""

    def give_up_rights() -> None:
        if sys.platform == "linux" and os.geteuid() == 0:
            for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
                CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP

    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(data), capture_output=True, text=True, preexec_fn=give_up_rights, timeout=60
    )
    return Done(done.returncode, done.stdout, done.stderr)


# --- what others may read ------------------------------------------------------------------------------------


def loose(folder: Path) -> list[str]:
    return [
        f"{path.name} {stat.S_IMODE(path.lstat().st_mode):04o}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


def test_nobody_else_may_read_what_is_kept_whatever_the_umask(tmp_path: Path) -> None:
    data, before = tmp_path / "deep" / "data", os.umask(0)
    try:
        assert carried_out(data, "serve --port 0").status == 0
        assert carried_out(data, "projections rebuild").status == 0
        assert carried_out(data, "models fold activity").status == 0
        assert run(data, "backup", str(tmp_path / "backup")).status == 0
        new = tmp_path / "new"
        new.mkdir()
        shutil.copy(data / "master.key", new)
        assert run(new, "restore", str(tmp_path / "backup")).status == 0
        assert carried_out(new, "serve --port 0").status == 0
    finally:
        os.umask(before)
    assert {path.name for path in data.iterdir()} >= {"log.db", "accounts.db", "views-1.db", "push.db", "master.key"}
    for folder in (data, tmp_path / "backup", new):
        assert loose(folder) == []


def test_what_others_could_read_is_told_and_taken_from_them_at_the_next_start(left: Path) -> None:
    left.chmod(0o755)
    for path in left.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert "others may read" in carried_out(left, "doctor --port 0").stdout
    (left / "master.key").chmod(0o600)
    assert carried_out(left, "serve --port 0").status == 0
    assert loose(left) == []


def test_a_folder_with_other_things_in_it_keeps_its_mode(left: Path) -> None:
    (left / "index.html").write_text("somebody else's")
    (left / "index.html").chmod(0o644)
    left.chmod(0o755)
    log_file(left).chmod(0o644)
    assert carried_out(left, "serve --port 0").status == 0
    assert sorted(loose(left)) == ["index.html 0644", f"{left.name} 0755"]
    assert f"chmod 700 {left}" in carried_out(left, "doctor --port 0").stdout


# --- a full disk ---------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    command = f"ulimit -f 8; exec {sys.executable} -m infra.cli serve --port 0"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(tmp_path / "data") | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("tidings: ") and str(tmp_path) in line]


# --- a bit that turned ---------------------------------------------------------------------------------------


def turned(log: Path, kind: str, name: str) -> None:
    """Turn one bit of a field's value in the first event of a type: SQLite sees nothing wrong with that."""
    with closing(sqlite3.connect(log, isolation_level=None)) as db:
        rows = db.execute("SELECT place, value FROM records ORDER BY place")
        place, value = next((place, bytes(value)) for place, value in rows if f'"{kind}"'.encode() in value)
        changed = bytearray(value)
        changed[value.index(f'"{name}":"'.encode()) + len(name) + 8] ^= 1
        db.execute("UPDATE records SET value = ? WHERE place = ?", (bytes(changed), place))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("message.sent", name) for name in ("body", "kind", "actor_id", "type", "chat_id", "message_id")),
        ("chat.created", "title"),
        ("message.read", "type"),
        ("message.read", "chat_id"),
    ],
)
@pytest.mark.parametrize("command", ["doctor --port 0", "audit", "backup {}"])
def test_a_bit_that_turned_in_the_log_is_found(left: Path, kind: str, name: str, command: str) -> None:
    turned(left / "log.db", kind, name)
    with closing(sqlite3.connect(left / "log.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    done = carried_out(left, command)
    told = done.stdout + done.stderr
    assert done.status == 1, told
    assert "log.db" in told
    assert "docs/operating.md" in told
    assert not (left.parent / "out" / "manifest.json").exists()


def test_damaged_views_keep_nobody_from_a_backup(left: Path) -> None:
    something_else(left / "views-1.db")
    assert carried_out(left, "backup {}").status == 0


def test_a_discarded_record_is_no_damage(left: Path) -> None:
    with closing(sqlite3.connect(log_file(left), isolation_level=None)) as db:
        db.execute("INSERT INTO records SELECT max(place) + 1, max(timestamp_ms), 'nobody', x'00' FROM records")
    assert carried_out(left, "serve --port 0").status == 0  # which parks it
    assert carried_out(left, "backup {}").status == 0
    assert carried_out(left, "dead-letters discard 0:45").status == 0
    assert carried_out(left, "serve --port 0").status == 0
    assert carried_out(left, "audit").status == 0
