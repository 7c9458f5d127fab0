"""What pushes say: each type, in direct chats and groups, in every language."""

from __future__ import annotations

import json

import pytest

from streams.push.words import LANGUAGES, MAX_BODY, MAX_NAME, MAX_TITLE, without_content, words


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_type_has_its_words_in_every_language(code: str) -> None:
    its = LANGUAGES[code]
    assert words(code, "TEXT", "tea?", "Ana", None) == ("Ana", "tea?")
    assert words(code, "TEXT", "tea?", "Ana", "Tea") == ("Tea", "Ana: tea?")
    assert words(code, "IMAGE", "", "Ana", None, "DSC_0042.JPG") == ("Ana", f"📷 {its.photo}")
    assert words(code, "IMAGE", "look", "Ana", "Tea") == ("Tea", "Ana: 📷 look")
    assert words(code, "FILE", "", "Ana", None, "plan.pdf") == ("Ana", "📎 plan.pdf")
    assert words(code, "FILE", "as agreed", "Ana", "Tea", "plan.pdf") == ("Tea", "Ana: 📎 plan.pdf: as agreed")
    assert words(code, "FILE", None, None, "Tea", None) == ("Tea", f"{its.somebody}: 📎 {its.file}")
    assert words(code, "FILE", "as agreed", "Ana", None, None) == ("Ana", "📎 as agreed")
    assert words(code, "TEXT", None, None, None) == (its.somebody, its.new_message)
    assert without_content(code) == (None, its.new_message)


@pytest.mark.parametrize(
    ("locale", "code"), [("pt-BR", "pt"), ("zh_Hant", "zh"), ("KO", "ko"), ("xx", "en"), (None, "en")]
)
def test_a_locale_means_its_language_or_english(locale: str | None, code: str) -> None:
    assert without_content(locale) == without_content(code)


def test_a_long_name_keeps_its_ending() -> None:
    _, body = words("en", "FILE", "", "Ana", None, "a" * 200 + " of March.final.pdf")
    name = body.removeprefix("📎 ")
    assert len(name) == MAX_NAME
    assert name.endswith("…ch.final.pdf")


def test_a_name_is_one_line() -> None:
    assert words("en", "FILE", "", "Ana", None, "a\nb\u2028c.pdf")[1] == "📎 a b c.pdf"


def test_the_longest_words_stay_far_below_what_providers_take() -> None:
    title, body = words("en", "FILE", "말" * 9_999, "말" * 999, "말" * 999, "말" * 255)
    assert title is not None
    assert len(title) <= MAX_TITLE
    assert len(body) <= MAX_BODY + MAX_NAME + MAX_TITLE + 10
    assert len(json.dumps([title, body], ensure_ascii=False).encode()) < 2_048
