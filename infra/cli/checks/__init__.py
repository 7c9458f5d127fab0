"""What `tidings doctor` looks at. A check changes nothing and raises nothing that it knows of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `mend`: what to do about it; empty where all is well."""

    name: str
    state: State
    found: str
    mend: str = ""
