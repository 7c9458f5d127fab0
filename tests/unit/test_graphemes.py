"""Texts are cut between signs that readers see as one."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from commands.graphemes import cut, tail

FAMILY = "👨‍👩‍👧‍👦"
KOREA, GERMANY = "🇰🇷", "🇩🇪"
WAVE = "👋🏽"
SIGNS = [FAMILY, KOREA, GERMANY, WAVE, "e\u0301", "नी", "각", "각", "a", " ", "\n", "\r\n", "的", "❤️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]


@pytest.mark.parametrize(
    ("text", "longest", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("ab" + FAMILY, 5, "ab"),
        (f"ab {FAMILY}", 9, "ab "),
        (KOREA * 3, 3, KOREA),
        (KOREA * 3, 5, KOREA * 2),
        ("a" + KOREA * 3, 4, "a" + KOREA),
        ("cafe\u0301!", 4, "caf"),
        (WAVE + "x", 1, "👋"),
        ("a\r\nb", 2, "a"),
        ("x" + "\u0301" * 999, 200, "x" + "\u0301" * 199),
    ],
)
def test_no_sign_is_cut_in_two_unless_it_alone_is_too_long(text: str, longest: int, shown: str) -> None:
    assert cut(text, longest) == shown


@given(st.lists(st.sampled_from(SIGNS), max_size=40), st.integers(7, 60))
def test_what_is_left_are_whole_signs_and_as_many_as_fit(signs: list[str], longest: int) -> None:
    text = "".join(signs)
    whole = regex.findall(r"\X", text)
    for shown, own in ((cut(text, longest), whole), (tail(text, longest)[::-1], [sign[::-1] for sign in whole[::-1]])):
        kept = 0
        while kept < len(own) and sum(map(len, own[: kept + 1])) <= longest:
            kept += 1
        assert shown == "".join(own[:kept])


def test_a_long_text_costs_no_more_than_its_beginning() -> None:
    assert cut("的" * 1_000_000, 200) == "的" * 200
