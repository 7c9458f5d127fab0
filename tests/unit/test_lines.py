"""Names and titles: any script and any emoji, but nothing unseen, and nothing that reaches beyond its own line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.errors import Invalid
from commands.lines import check_line, is_seen, line_fault, without_unfit
from commands.sessions import MAX_CLIENT
from commands.users import check_profile, clean_username

# ruff: noqa: RUF001 - letters of many scripts are what this is about

SEEN = [
    "Ana",
    " Ana  B ",
    "O'Brien <b>",
    "김철수",
    "안녕",  # in single jamo
    "می\u200cخواهم",
    "क्\u200dष",
    "עברית \u200fשלום",
    "محمد",
    "ไทย",
    "Zoë",
    "e\u0301",
    "👨\u200d👩\u200d👧",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "❤\ufe0f",
    "1\ufe0f\u20e3",
    "🇰🇷",
    "👍🏽",
    "۝",
    "\ue000",
    "\U0001fae9",  # an emoji of Unicode 16: unassigned for older tables
    ".",
]
BLANK = [
    *"\u0020\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b\u180e\u2000\u200a\u200b\u200c\u200d\u200e\u200f",
    *"\u202f\u205f\u2060\u2061\u2064\u2065\u2800\u3000\u3164\ufe00\ufe0f\ufeff\uffa0\ufff0\ufffc",
    *"\U0001d159\U0001d173\U0001bca0\U000e0001\U000e0020\U000e0100\U000e0fff",
    *"\u0301\u0e34\u20e3\u093e",  # marks on nothing
]
UNFIT = [
    *"\0\a\b\t\n\v\f\r\x1b\x7f\x80\x85\x9f\u2028\u2029",
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u206a\u206f\ufff9\ufffb",
    *"\ud800\udfff\ufdd0\ufffe\uffff\U0001fffe\U0010ffff",
]


@pytest.mark.parametrize("text", SEEN)
def test_what_people_are_called_is_a_name(text: str) -> None:
    assert line_fault(text) is None
    check_profile({"display_name": text})


@pytest.mark.parametrize("char", BLANK, ids=lambda char: f"U+{ord(char):04X}")
def test_what_is_not_seen_is_no_name_by_itself_but_may_be_part_of_one(char: str) -> None:
    for text in (char, char * 3, f" {char}\u200b"):
        assert line_fault(text) == "something visible"
    assert line_fault(f"a{char}b") is None


@pytest.mark.parametrize("char", UNFIT, ids=lambda char: f"U+{ord(char):04X}")
def test_what_reaches_beyond_the_line_is_in_no_name(char: str) -> None:
    for text in (char, f"Ana{char}", f"{char}Ana", f"A{char}na"):
        assert line_fault(text) not in (None, "something visible")
        assert without_unfit(text) == text.replace(char, "")


@given(st.text(st.characters(categories=["Z", "M", "Cf"], exclude_characters="\u2028\u2029"), min_size=1))
def test_spaces_marks_and_formats_alone_are_no_name(text: str) -> None:
    assert line_fault(text) is not None or any(map(is_seen, text))
    assert not any(unicodedata.category(char)[0] in "ZM" and is_seen(char) for char in text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1), st.text(max_size=5))
def test_a_name_stays_one_whatever_is_seen_beside_it(text: str, other: str) -> None:
    if line_fault(text) is None and line_fault(f"a{other}") is None:
        assert line_fault(text + other) is None
        assert line_fault(other + text) is None


@given(st.text())
def test_a_name_has_neither_controls_nor_ends_of_lines(text: str) -> None:
    if line_fault(text) is None:
        assert not {unicodedata.category(char) for char in text} & {"Cc", "Cs", "Zl", "Zp"}
        assert not {unicodedata.bidirectional(char) for char in text} & {
            *("LRE", "RLE", "LRO", "RLO", "PDF"),
            *("LRI", "RLI", "FSI", "PDI"),
        }
        assert len(text.splitlines()) == 1
        text.encode()


@given(st.text())
def test_what_is_left_of_a_text_reaches_nowhere(text: str) -> None:
    assert line_fault(without_unfit(text)) in (None, "something visible")


def test_a_line_has_a_length() -> None:
    check_line("title", "x" * 200, 200)
    for text in ("", "x" * 201):
        with pytest.raises(Invalid, match="title: 1 to 200 characters"):
            check_line("title", text, 200)
    assert MAX_CLIENT == 200


@pytest.mark.parametrize("locale", ["de\n", "de\u202e", "", "d", "x" * 36])
def test_a_locale_is_a_tag_and_nothing_more(locale: str) -> None:
    with pytest.raises(Invalid):
        check_profile({"locale": locale})


@pytest.mark.parametrize("username", ["ana\n", "ana\u200b", "аnа", "an a", "an\u202ea", "ana\0", "ａｎａ"])
def test_a_username_is_of_ascii(username: str) -> None:
    with pytest.raises(Invalid):
        clean_username(username)
