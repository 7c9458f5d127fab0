"""Finding people."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from msgspec import Meta

from api.cursors import Cursor, Id, decode, encode
from api.http.models import NO_NUL, Limit, Page, UserAnswer, UsersQuery
from api.http.routing import Asker, Svc, make_router, problems
from commands.accounts import Mark
from commands.errors import BadCursor

router = make_router("users")


class UsersCursor(Cursor, frozen=True, tag="users"):
    stage: Literal["username", "display_name"]
    key: Annotated[str, Meta(max_length=64, pattern=NO_NUL)]
    user_id: Id


@router.get("/v1/users", responses=problems(BadCursor))
async def search(
    caller: Asker,
    services: Svc,
    query: Annotated[str, Query(min_length=1, max_length=64, pattern=NO_NUL)],
    cursor: Annotated[str | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Page[UserAnswer]:
    """People whose username or display name starts with the query, whatever its case."""
    after = None
    if cursor is not None:
        given = decode(cursor, UsersCursor)
        after = Mark(given.stage, given.key, given.user_id)
    found = await services.accounts.search(query, after, limit)
    at = found.following
    return Page(
        items=[UserAnswer.of(user) for user in found.users],
        next_cursor=None if at is None else encode(UsersCursor(at.stage, at.key, at.user_id)),
    )


@router.post("/v1/users/query")
async def users(body: UsersQuery, caller: Asker, services: Svc) -> Page[UserAnswer]:
    """The users with these ids, in their order. Ids that name nobody, or somebody erased, are left out."""
    found = await services.accounts.users(body.user_ids)
    return Page(items=[UserAnswer.of(user) for user in found], next_cursor=None)
