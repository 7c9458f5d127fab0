"""What one connection may do. The numbers of the contract are in API.md; these are the gateway's own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. `heartbeat_s` is told to clients."""

    connect_s: float = 5.0
    heartbeat_s: int = 25
    misses: int = 2
    """Heartbeats without any sign of the client, after which it is gone."""
    sessions_per_user: int = 20
    flood_rate: float = 200.0
    """Frames a second that a connection may send for ever, whatever they are."""
    flood_burst: int = 2_000
    flood_bytes: int = 8_192
    """A frame counts once more for each such part of it, so a connection sends 1.6 MB a second for ever."""
    flood_burst_before: int = 200
    """Before `connect` is taken; its `resume` may be long."""
    waiting_commands: int = 1_000
    """Commands of one connection that may wait for an earlier one of it."""
    chats_shown: int = 1_000
    """Chats in the `connected` frame, the newest."""
    typing_s: float = 1.0
    """A user's typing in a chat is passed on this often at most."""
    reconnect_spread_s: float = 10.0
    """Clients of a draining gateway are told to come back at a random time within this."""
    leave_s: float = 5.0
    """So long a draining gateway waits for the answers to what it took."""


FLOODING = 4429
"""Close codes that are not WebSocket's own."""
MALFORMED = 4400
BAD_TOKEN = 4401
NO_CONNECT = 4408
REPLACED = 4409
TOO_SLOW = 4410

GOING_AWAY = 1001
NOT_UTF8 = 1007
OUR_ERROR = 1011
DRAINED = 1012
LOST = 1006
"""The connection broke off without a close frame."""
