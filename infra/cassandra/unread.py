"""What is unread, of many users at once: for the numbers on the icons of apps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from infra.cassandra.keyspace import Keyspace
from infra.cassandra.tables import key_of

_CHATS = 40
"""That one statement asks about, each about all of its users."""
_MARKS = 1_000
"""Chats times users of one statement: most of them are of no use, but cost less than a statement each."""


async def unread_of(keyspace: Keyspace, user_ids: Collection[str]) -> dict[str, int]:
    """User → messages that are unread over all chats. Raises Unavailable."""
    keys = {key_of(user_id): user_id for user_id in user_ids}
    own: dict[int, dict[str, list[str]]] = {}
    """Set of replicas → user → keys of chats."""
    for user_key, chat_key, left_seq in await keyspace.read_in(keyspace.reads.chats_of_all, keys.values()):
        if left_seq == 0:
            replicas = await keyspace.set_of(chat_key.encode())
            own.setdefault(replicas, {}).setdefault(keys[user_key], []).append(chat_key)
    reads = [(chats[0].encode(), (chats, users)) for each in own.values() for chats, users in _packed(each)]
    rows = await keyspace.read_routed(keyspace.reads.marks_in, reads) if reads else []
    # Two statements may tell of the same pair. Members are only those who are: of nobody else a chat was asked for.
    unread = {(chat, user_id): n - read_n for chat, user_id, left_seq, n, read_n in rows if left_seq == 0}
    found = dict.fromkeys(user_ids, 0)
    for (_, user_id), count in unread.items():
        found[user_id] += max(0, count)
    return found


def _packed(own: Mapping[str, list[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """(chats, users), so that each user is among those who are asked about each of their chats."""
    chats: set[str] = set()
    users: dict[str, None] = {}
    for user_id, listed in own.items():
        for start in range(0, len(listed), _CHATS):
            some = listed[start : start + _CHATS]
            both = len(chats.union(some))
            if users and (both > _CHATS or both * (len(users) + 1) > _MARKS):
                yield list(chats), list(users)
                chats, users = set(), {}
            chats.update(some)
            users[user_id] = None
    if users:
        yield list(chats), list(users)
