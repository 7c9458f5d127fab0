"""How often a process looks for garbage that reference counts do not free: objects in a circle.

Messages make hardly any. At Python's own pace the looking cost a worker a fifth of its CPU under load, and one look at
everything held its loop up for most of a second: nearly all that is walked are modules, types and caches that stay.
"""

from __future__ import annotations

import gc

_YOUNG = 50_000
"""Objects that have come and not gone before the young ones are looked through …"""
_MIDDLE = 20
"""… so many times before those that outlived it are …"""
_OLD = 100
"""… and these so many times before all are."""


def look_seldom() -> None:
    """To be called once, when the process begins."""
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


def never_look_at_these() -> None:
    """What is there now stays: to be called when a process has loaded what it needs, before its work begins."""
    gc.collect()
    gc.freeze()
