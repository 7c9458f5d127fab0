"""How many files and connections this process may have open."""

from __future__ import annotations

import logging
import resource
from contextlib import suppress

MOST = 1_048_576
"""More are not asked for; where there is no limit, this is taken for one."""

logger = logging.getLogger(__name__)


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, as every process may; gives the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    # macOS refuses what is over a limit of its kernel's, which getrlimit does not tell.
    for limit in (wanted, 10_240):
        if soft == resource.RLIM_INFINITY or soft >= limit:
            break
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    now = MOST if soft == resource.RLIM_INFINITY else min(soft, MOST)
    logger.debug("%d descriptors may be open", now)
    return now
