"""The two secrets of an installation, made on first start and kept in files that only their owner may read."""

from __future__ import annotations

import binascii
import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands.errors import Corrupt
from infra.layout import JWT_SECRET, MASTER_KEY, accounts_file

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """`master` wraps sealing keys: who loses it loses every text. `jwt` signs tokens: changing it signs everybody
    out."""

    master: bytes
    jwt: bytes


def load_secrets(
    directory: Path,
    *,
    master: bytes | None = None,
    jwt: bytes | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Secrets:
    """Given secrets win over files; what is neither given nor there is made.

    Raises Corrupt for a file that holds no secret, and where accounts exist without their master key: a new one
    would make everything unreadable look like a fresh start.
    """
    master_file = directory / MASTER_KEY
    if master is None and not master_file.exists() and accounts_file(directory).exists():
        raise Corrupt(
            f"{master_file} is missing, but {directory} holds accounts sealed under it: "
            "put it back, or set TIDINGS_MASTER_KEY"
        )
    return Secrets(
        master if master is not None else _kept(master_file, random),
        jwt if jwt is not None else _kept(directory / JWT_SECRET, random),
    )


def parse_secret(text: str) -> bytes:
    """32 bytes or more, written in base64 or hex. Raises ValueError."""
    text = text.strip()
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        try:
            secret = b64decode(
                text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else None, validate=True
            )
        except binascii.Error as error:
            raise ValueError("neither base64 nor hex") from error
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"fewer than {SECRET_BYTES} bytes")
    return secret


def _kept(path: Path, random: Callable[[int], bytes]) -> bytes:
    if not path.exists():
        _write(path, b64encode(random(SECRET_BYTES)) + b"\n")
    try:
        return parse_secret(path.read_text(encoding="ascii"))
    except ValueError as error:
        raise Corrupt(f"{path} holds no secret: {error}") from error


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, whenever the process dies; the first of two writers at once wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        os.write(file, content)
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
