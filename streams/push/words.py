"""What a push says, in the reader's language. With the sixth of a screen that there is, it cuts."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from commands.graphemes import cut, tail
from commands.lines import without_unfit
from events.types import MessageKind

MAX_TITLE = 100
"""Characters. With `MAX_BODY` this stays far below the 4 KB that providers take, whatever the script."""
MAX_BODY = 240
MAX_NAME = 60
"""Of a file's name, the last ones among them: they tell what it is."""
_ENDING = 12
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Language:
    new_message: str
    photo: str
    file: str
    somebody: str
    """A person whose name is not known any more."""


LANGUAGES = {
    "en": Language("New message", "Photo", "File", "Somebody"),
    "ko": Language("새 메시지", "사진", "파일", "알 수 없음"),
    "de": Language("Neue Nachricht", "Foto", "Datei", "Jemand"),
    "es": Language("Nuevo mensaje", "Foto", "Archivo", "Alguien"),
    "fr": Language("Nouveau message", "Photo", "Fichier", "Quelqu'un"),
    "ja": Language("新着メッセージ", "写真", "ファイル", "不明"),
    "pt": Language("Nova mensagem", "Foto", "Arquivo", "Alguém"),
    "zh": Language("新消息", "图片", "文件", "未知用户"),
}


def language(locale: str | None) -> Language:
    """That of a tag such as `pt-BR`; English where we have none."""
    primary = re.split("[-_]", locale or "en")[0].lower()
    return LANGUAGES.get(primary, LANGUAGES["en"])


def words(
    locale: str | None,
    kind: MessageKind,
    text: str | None,
    sender: str | None,
    chat_title: str | None,
    file_name: str | None = None,
) -> tuple[str | None, str]:
    """(title, body). `text` and `file_name` are None where they were erased; `chat_title` is None in a direct chat.

    A picture's name is a camera's, so it is not told.
    """
    its = language(locale)
    said = _line(text or "", MAX_BODY)
    match kind:
        case "IMAGE":
            said = f"📷 {said or its.photo}"
        case "FILE":
            file = _file(file_name) if file_name else ""
            said = f"📎 {': '.join(filter(None, (file, said))) or its.file}"
        case "TEXT":
            said = said or its.new_message
    name = _name(sender or its.somebody, MAX_TITLE)
    if chat_title is None:
        return name, said
    return _name(chat_title, MAX_TITLE), f"{_apart(name)}: {said}"


def without_content(locale: str | None) -> tuple[None, str]:
    """(title, body) for those who want nothing shown: neither who wrote, nor where, nor what."""
    return None, language(locale).new_message


def _file(name: str) -> str:
    name = _name(name, 2 * MAX_BODY)
    if len(name) > MAX_NAME:
        name = f"{cut(name, MAX_NAME - _ENDING - 1).rstrip()}…{tail(name, _ENDING).lstrip()}"
    return _apart(name)


def _name(text: str, limit: int) -> str:
    """Without what would turn the direction of all that follows: names in the log may be older than our rules."""
    return _line(without_unfit(_INVISIBLE.sub(" ", text)), limit)


def _apart(name: str) -> str:
    """A name inside a sentence, so that neither gives the other its direction (UAX #9: isolates)."""
    if name.isascii() or not any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in name):
        return name
    return f"\u2068{name}\u2069"


def _line(text: str, limit: int) -> str:
    line = _INVISIBLE.sub(" ", cut(text, limit * 2)).strip()
    return line if len(line) <= limit else cut(line, limit - 1).rstrip() + "…"
