"""Which package may import what, and a checker that reads the imports out of source text."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

# Each room may import itself and the rooms before it.
ROOMS = ("events", "commands", "projections", "streams", "api", "infra")

_DRIVERS = (
    "aiobotocore aioboto3 aiokafka aiosqlite alembic apns argon2 asyncpg boto3 botocore cassandra"
    " confluent_kafka firebase_admin hiredis psycopg redis sqlalchemy sqlite3"
)
# Top-level modules of others that are at home in certain rooms only.
HOMES: dict[str, frozenset[str]] = {
    **dict.fromkeys(_DRIVERS.split(), frozenset({"infra"})),
    "faust": frozenset({"streams"}),
    "fastapi": frozenset({"api"}),
    "starlette": frozenset({"api"}),
    "picows": frozenset({"api"}),
    "uvicorn": frozenset({"api", "infra"}),
}
# Product code never leans on code that is not shipped.
UNSHIPPED = ("tests", "benchmarks")


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the absolute dotted name of the module, and the line it stands on."""

    module: str
    line: int

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def imports_of(source: str, path: str) -> Iterator[Import]:
    """Yield every import in `source`, wherever it stands: functions and TYPE_CHECKING blocks included.

    `path` is relative to the repository (`streams/runner.py`); relative imports are resolved against it.
    Imports by name, `import_module("x")` and `__import__("x")`, count where the name is written out.
    Raises SyntaxError.
    """
    folder = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source, path)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(module=module, level=level, names=names):
                base = folder[: len(folder) - level + 1] if level else []
                start = [*base, *(module.split(".") if module else [])]
                if start:
                    yield Import(".".join(start), node.lineno)
                else:  # `from .. import x` out of a room: each name is a top-level package
                    for alias in names:
                        yield Import(alias.name, node.lineno)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield Import(name, node.lineno)


def wrong_arrows(sources: dict[str, str]) -> list[str]:
    """Return a sentence for each import that its room forbids; `sources` maps path to source text."""
    wrong = []
    faust_homes: dict[str, str] = {}  # module or folder of streams/ → its first importer
    for path, source in sorted(sources.items()):
        room = path.split("/")[0]
        for found in imports_of(source, path):
            where = f"{path}:{found.line} imports {found.module}"
            if found.top in ROOMS and ROOMS.index(found.top) > ROOMS.index(room):
                allowed = ", ".join(ROOMS[: ROOMS.index(room)]) or "none of the others"
                wrong.append(f"{where}: {room}/ may import {allowed}")
            elif found.top in UNSHIPPED:
                wrong.append(f"{where}: {found.top}/ is not shipped")
            elif room not in HOMES.get(found.top, frozenset(ROOMS)):
                homes = " or ".join(f"{home}/" for home in sorted(HOMES[found.top]))
                wrong.append(f"{where}: {found.top} is at home in {homes} only")
            elif found.top == "faust":
                faust_homes.setdefault("/".join(path.split("/")[:2]), where)
    if len(faust_homes) > 1:
        wrong += [f"{where}: faust has one module or folder of streams/" for where in faust_homes.values()]
    return wrong
