"""Two sides of a comparison: the first row that differs is told, however the sides end."""

import pytest

from infra.cli.hashing import SHOWN, Hashed, Row, first_difference

A: Row = ("chats", "a", 1)
B: Row = ("chats", "b", 2)


@pytest.mark.parametrize(
    ("served", "rebuilt", "difference"),
    [
        ([A, B], [A, B], (None, None)),
        ([A, B], [A, ("chats", "b", 3)], ("('chats', 'b', 2)", "('chats', 'b', 3)")),
        ([A, B], [A], ("('chats', 'b', 2)", None)),
        ([], [A], (None, "('chats', 'a', 1)")),
    ],
)
def test_the_first_difference_is_found(
    served: list[Row], rebuilt: list[Row], difference: tuple[str | None, str | None]
) -> None:
    assert first_difference(served, rebuilt) == difference


def test_a_long_row_is_cut() -> None:
    shown, _ = first_difference([("timeline", b"x" * 100_000)], [])
    assert shown is not None
    assert len(shown) == SHOWN


@pytest.mark.parametrize(("rebuilt", "is_right"), [(None, True), ("aa", True), ("bb", False)])
def test_only_another_hash_is_wrong(rebuilt: str | None, is_right: bool) -> None:
    assert Hashed("aa", 1, {"0": 1}, rebuilt).is_right == is_right
