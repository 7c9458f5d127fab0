"""Whether ids that somebody gives name users."""

from __future__ import annotations

from collections.abc import Collection

from api.services import Services
from commands.errors import NoSuchUser
from events.ids import is_uuid7


async def all_known(services: Services, user_ids: Collection[str]) -> bool:
    """Whether all of these different ids name users who can be talked to. Raises Unavailable."""
    if not all(map(is_uuid7, user_ids)):
        return False
    return len(await services.accounts.known_users(user_ids)) == len(user_ids)


async def check_known(services: Services, user_ids: Collection[str]) -> None:
    """Raises NoSuchUser unless `all_known`."""
    if not await all_known(services, user_ids):
        raise NoSuchUser("not all of these ids name users")
