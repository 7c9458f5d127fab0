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
from infra.private import private_folder

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
    is_needed: bool = False,
    random: Callable[[int], bytes] = os.urandom,
) -> Secrets:
    """Given secrets win over files; what is neither given nor there is made.

    Raises Corrupt for a file that holds no secret, and where accounts exist, or `is_needed` says that they do
    elsewhere, without their master key: a new one would make everything unreadable look like a fresh start.
    """
    return Secrets(
        load_master(directory, master, random if not is_needed else None),
        jwt if jwt is not None else _kept(directory / JWT_SECRET, random),
    )


def load_master(directory: Path, given: bytes | None, random: Callable[[int], bytes] | None = None) -> bytes:
    """The master key that is given, else that of the file; with `random` it is made where nothing was sealed yet.

    Raises Corrupt, as `load_secrets` does.
    """
    if given is not None:
        return given
    path = directory / MASTER_KEY
    if not _is_there(path) and (random is None or accounts_file(directory).exists()):
        raise Corrupt(f"{path} is missing, and accounts were sealed under it: put it back, or set TIDINGS_MASTER_KEY")
    return _kept(path, random)


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


_WAYS_OUT = {
    MASTER_KEY: "put your copy of it back, or set TIDINGS_MASTER_KEY: without it nobody reads what was written",
    JWT_SECRET: "put it back, or remove it: a new one is made, and everybody signs in again",
}


def _is_there(path: Path) -> bool:
    """A link that leads nowhere is there, too: what it should lead to got lost."""
    return path.exists() or path.is_symlink()


def _kept(path: Path, random: Callable[[int], bytes] | None) -> bytes:
    if random is not None and not _is_there(path):
        _write(path, b64encode(random(SECRET_BYTES)) + b"\n")
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """Raises Corrupt for a file that cannot be read, or holds no secret; it says what to do."""
    try:
        return parse_secret(path.read_text(encoding="ascii"))
    except UnicodeDecodeError as error:
        raise Corrupt(f"{path} holds no secret: it is not text; {_WAYS_OUT[path.name]}") from error
    except ValueError as error:
        raise Corrupt(f"{path} holds no secret: {error}; {_WAYS_OUT[path.name]}") from error
    except OSError as error:
        raise Corrupt(f"{path} cannot be read: {error.strerror}; {_WAYS_OUT[path.name]}") from error


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, whenever the process dies; the first of two writers at once wins."""
    private_folder(path.parent)
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
