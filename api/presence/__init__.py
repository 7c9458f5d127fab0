"""Who is online: a port to what all gateways know together, and this gateway's part in it.

Presence never enters the log. It is told only to people who share a chat.
"""

from api.presence.acquaintance import Acquaintance
from api.presence.port import ALIVE_S, BEAT_S, SWEEP_S, TTL_S, Presence, Seen, SessionStatus, Status
from api.presence.queries import PresenceQueries, PresenceShape
from api.presence.tracker import PresenceTracker

__all__ = [
    "ALIVE_S",
    "BEAT_S",
    "SWEEP_S",
    "TTL_S",
    "Acquaintance",
    "Presence",
    "PresenceQueries",
    "PresenceShape",
    "PresenceTracker",
    "Seen",
    "SessionStatus",
    "Status",
]
