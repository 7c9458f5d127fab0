"""When a push that could not be taken is tried again.

Retries wait in queues, one for each length of waiting. Within a queue what came first is due first, more or less, so
its head tells how long there is nothing to do, and a position says exactly what is done.
"""

from __future__ import annotations

from collections.abc import Callable

DELAYS_S = (5, 30, 120, 600, 1_800, 3_600)
"""Of the queues, in seconds. The sixth retry and all that follow wait an hour."""
JITTER = 0.25
"""At most so much of a delay is added, by chance, so that what failed together does not come back together."""
GIVE_UP_S = 24 * 3_600.0
"""After the first try."""
LONGEST_S = GIVE_UP_S * (1 + JITTER)
"""Nothing waits longer, whatever a provider asks for."""


def delay_ms(attempts: int, retry_after_s: float | None, chance: Callable[[], float]) -> tuple[int, int]:
    """(queue, ms to wait) after so many tries, never less than the provider asked for. `chance`: 0 ≤ x < 1."""
    queue = min(attempts, len(DELAYS_S)) - 1
    asked = min(retry_after_s or 0.0, GIVE_UP_S)
    while queue < len(DELAYS_S) - 1 and DELAYS_S[queue] < asked:
        queue += 1
    wait = max(DELAYS_S[queue], asked)
    return queue, int(1000 * wait * (1 + JITTER * chance()))
