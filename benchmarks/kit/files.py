"""Open files: each socket is one."""

from __future__ import annotations

import resource


def raise_file_limit() -> None:
    """As far as this process may; processes that it starts inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
