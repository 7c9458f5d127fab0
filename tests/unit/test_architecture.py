"""The import directions hold in the tree, and the checker that says so can see a wrong one."""

from pathlib import Path

import pytest

from tests.support.arrows import ROOMS, UNSHIPPED, Import, imports_of, wrong_arrows

ROOT = Path(__file__).parents[2]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
}


def test_every_import_in_the_tree_points_the_right_way() -> None:
    assert wrong_arrows(SOURCES) == []


def test_every_room_was_read() -> None:
    assert {path.split("/")[0] for path in SOURCES} == set(ROOMS)


def test_no_package_stands_beside_the_rooms() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= {*ROOMS, *UNSHIPPED}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("events/codec.py", "import commands"),
        ("commands/send.py", "from infra.log import SqliteLog"),
        ("projections/inbox.py", "import streams.runner as runner"),
        ("streams/runner.py", "def start():\n    from api import app"),
        ("api/routes.py", "if TYPE_CHECKING:\n    from infra.settings import Settings"),
        ("api/routes.py", "try:\n    import infra.settings\nexcept ImportError:\n    raise"),
        ("api/http/routes.py", "from ...infra import settings"),
        ("events/codec.py", "from .. import infra"),
        ("events/codec.py", "from importlib import import_module\nimport_module('infra.log')"),
        ("events/codec.py", "import importlib\nlog = importlib.import_module('infra.log')"),
        ("events/codec.py", "log = __import__('infra')"),
        ("infra/settings.py", "from tests.support import clock"),
        ("commands/send.py", "import sqlite3"),
        ("projections/views.py", "async def read():\n    import aiosqlite"),
        ("api/accounts.py", "from sqlalchemy.ext.asyncio import AsyncEngine"),
        ("streams/kafka.py", "from confluent_kafka import Producer"),
        ("api/passwords.py", "from argon2 import PasswordHasher"),
        ("infra/worker.py", "import faust"),
        ("infra/root.py", "from fastapi import FastAPI"),
        ("streams/fanout.py", "from starlette.websockets import WebSocket"),
        ("infra/server.py", "import picows"),
        ("streams/serve.py", "import uvicorn"),
    ],
)
def test_a_wrong_import_is_reported_with_its_place(path: str, source: str) -> None:
    [sentence] = wrong_arrows({path: source})
    last = len(source.splitlines()) if "try:" not in source else 2
    assert sentence.startswith(f"{path}:{last} imports ")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("infra/root.py", "import events, commands, projections, streams, api\nfrom infra.log import Log"),
        (
            "commands/send.py",
            "from events.types import MessageSent\nfrom .ports import Log\nfrom . import chat",
        ),
        ("api/http/routes.py", "from ..errors import problem\nfrom ...commands import send"),
        ("infra/sql/accounts.py", "import sqlalchemy\nimport sqlite3\nimport argon2\nimport uvicorn"),
        ("api/server.py", "import uvicorn, picows, fastapi\nfrom starlette.requests import Request"),
        ("events/codec.py", "import msgspec\nimport pydantic\nimport eventsourcing"),
        ("events/codec.py", "# import infra\ntext = 'import infra'"),
    ],
)
def test_a_right_import_is_not(path: str, source: str) -> None:
    assert wrong_arrows({path: source}) == []


def test_faust_lives_in_one_place_of_streams() -> None:
    spread = {"streams/shell.py": "import faust", "streams/push.py": "from faust import App"}
    assert len(wrong_arrows(spread)) == 2
    assert wrong_arrows({"streams/shell/app.py": "import faust", "streams/shell/codec.py": "import faust.types"}) == []


def test_relative_imports_are_resolved_against_the_module_that_holds_them() -> None:
    source = "from . import heads\nfrom .marks import Mark\nfrom ..chat import Chat\nfrom ... import infra"
    assert [found.module for found in imports_of(source, "projections/inbox/fold.py")] == [
        "projections.inbox",
        "projections.inbox.marks",
        "projections.chat",
        "infra",
    ]


def test_an_import_knows_its_line_and_its_top() -> None:
    assert list(imports_of("\nimport a.b.c", "events/x.py")) == [Import("a.b.c", 2)]
    assert Import("a.b.c", 2).top == "a"
