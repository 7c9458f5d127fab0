"""The lock file pins what pyproject.toml asks for, and says nothing about where it was made."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(re.findall(r"^([\w.-]+)(?:\[[^]]+\])?==([^ ;\\]+)", LOCK, re.MULTILINE))
ASKED = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["dependency-groups"]["dev"],
    *PROJECT["build-system"]["requires"],
]


@pytest.mark.parametrize("asked", ASKED)
def test_every_dependency_is_pinned_within_its_range(asked: str) -> None:
    requirement = Requirement(asked)
    pin = PINS.get(requirement.name)
    assert pin is not None, "not in requirements.lock: run ./dev lock"
    assert requirement.specifier.contains(pin, prereleases=True), f"{pin} is outside: run ./dev lock"


def test_every_pin_has_hashes() -> None:
    blocks = re.split(r"^(?=[\w.-]+(?:\[[^]]+\])?==)", LOCK, flags=re.MULTILINE)[1:]
    # A package that one Python needs older than another stands there once for each.
    assert {re.split(r"[\[=]", block)[0] for block in blocks} == set(PINS)
    assert [block.split(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_no_address_is_written_into_it() -> None:
    assert re.findall(r"://|^\s*--?(?:i|f|index-url|extra-index-url|find-links)\b", LOCK, re.MULTILINE) == []
