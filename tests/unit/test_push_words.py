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


FAMILY = "👨‍👩‍👧‍👦"


def test_nothing_is_cut_inside_a_sign() -> None:
    for shift in range(12):
        _, body = words("en", "TEXT", "x" * shift + FAMILY * 99, "Ana", None)
        assert len(body) <= MAX_BODY
        assert body == "x" * shift + FAMILY * body.count(FAMILY) + "…"
        title, _ = words("en", "TEXT", "hi", "x" * shift + "🇰🇷" * 99, None)
        assert title == "x" * shift + "🇰🇷" * ((MAX_TITLE - 1 - shift) // 2) + "…"
        _, body = words("en", "FILE", "", "Ana", None, "x" * shift + FAMILY * 30)
        assert body.replace(FAMILY, "").replace("x", "") == "📎 …"


@pytest.mark.parametrize("turning", ["\u202e", "\u202a", "\u202b", "\u202d", "\u2066", "\u2067", "\u2068"])
def test_a_name_turns_nothing_round(turning: str) -> None:
    title, body = words("en", "FILE", "said", f"{turning}Ana", f"Tea{turning}", f"{turning}fdp.exe")
    assert (title, body) == ("Tea", "Ana: 📎 fdp.exe: said")
    assert words("en", "TEXT", "said", f"A{turning}na", None) == ("Ana", "said")


def test_a_name_that_is_read_from_right_to_left_stands_apart() -> None:
    assert words("en", "TEXT", "hello", "علي", "שלום") == ("שלום", "\u2068علي\u2069: hello")
    assert words("en", "FILE", "hello", "Ana", "Tea", "تقرير.pdf")[1] == "Ana: 📎 \u2068تقرير.pdf\u2069: hello"
    assert words("en", "TEXT", "مرحبا", "Ana", "Tea")[1] == "Ana: مرحبا"
