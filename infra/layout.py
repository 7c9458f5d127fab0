"""Where things stand in the data directory."""

from __future__ import annotations

import re
from pathlib import Path

GENERATION = 1
"""The generation of the views that is served."""

MASTER_KEY = "master.key"
JWT_SECRET = "jwt.secret"


def log_file(data: Path) -> Path:
    """The event log: the only file that nothing else can bring back."""
    return data / "log.db"


def views_file(data: Path, generation: int = GENERATION) -> Path:
    """A generation of the views: removed while nobody serves, it is folded anew from the log at the next start."""
    return data / f"views-{generation}.db"


def accounts_file(data: Path) -> Path:
    """Users, sign-ins and wrapped sealing keys."""
    return data / "accounts.db"


def push_file(data: Path) -> Path:
    """Pushes that wait, and what became of others. Without it, what waits is not pushed."""
    return data / "push.db"


def files_folder(data: Path) -> Path:
    """Files that people send, where they are not in a bucket."""
    return data / "files"


def incoming_folder(data: Path) -> Path:
    """Uploads on their way."""
    return data / "incoming"


def demo_file(data: Path) -> Path:
    """Which users and chats the demo made."""
    return data / "demo.json"


_OURS = re.compile(
    r"(log|accounts|push|operators|views-\d+|model-[\w.-]+)\.db(-wal|-shm|-journal)?"
    r"|master\.key|jwt\.secret|LOCK|rebuild\.lock|generations\.(json|lock)|generation\.served|demo\.json"
    r"|files|incoming"
)


def ours(data: Path) -> tuple[list[Path], bool]:
    """What in a data folder is of Tidings, and whether nothing else is in it. Raises OSError."""
    found = sorted(data.iterdir())
    kept = [path for path in found if _OURS.fullmatch(path.name)]
    return kept, len(kept) == len(found)
