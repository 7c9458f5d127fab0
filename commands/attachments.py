"""What a message says of its file: sealed like its body, so that it goes with the author's key.

The event holds this description besides the file's id. Readers need no look-up for it, and a name or a size says as
much about a person as a text does.
"""

from __future__ import annotations

import msgspec

from commands.errors import Corrupt
from commands.files import FileInfo
from commands.sealing import Sealed, Sealer
from events.types import MessageSent

_decoder = msgspec.json.Decoder(FileInfo)


def seal_file(sealer: Sealer, chat_id: str, message_id: str, author_id: str, info: FileInfo) -> bytes:
    """Raises what `Sealer.seal` raises."""
    return sealer.seal(chat_id, _place(message_id), author_id, msgspec.json.encode(info).decode())


def sealed_file(chat_id: str, author_id: str, data: MessageSent) -> Sealed | None:
    """What to open, None where the message has no file."""
    return None if data.file is None else (chat_id, _place(data.message_id), author_id, data.file)


def read_file(text: str | None) -> FileInfo | None:
    """The description that was opened; None where it was erased. Raises Corrupt."""
    if text is None:
        return None
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise Corrupt("the description of a file is none") from error


def _place(message_id: str) -> str:
    """Sealed for another place than the body, so that neither opens as the other. No id has a slash."""
    return f"{message_id}/file"
