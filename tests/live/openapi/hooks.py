"""Loaded by Schemathesis: gives generated requests what no schema can say, such as ids that name something.

Only requests that are meant to be valid are touched, but for one thing: nobody ends the session that all use.
"""

from __future__ import annotations

import json
import os
import re
from itertools import cycle
from typing import Any

import httpx
import schemathesis
from schemathesis import AuthContext, Case, HookContext

from api.cursors import InboxCursor, MembersCursor, encode
from api.http.me import SessionsCursor
from api.http.users import UsersCursor
from commands.lines import line_fault
from tests.support.caller import PASSWORD, Json, new_id

WORLD: dict[str, Any] = json.loads(os.environ["SCHEMATHESIS_WORLD"])
NOBODY = new_id()
_http = httpx.Client(base_url=WORLD["url"], timeout=30)
_chats = cycle([WORLD["room"], WORLD["hall"], WORLD["pair"]])
_CURSORS = {
    "/v1/chats": encode(InboxCursor(2**60, WORLD["room"])),
    "/v1/chats/{chat_id}/members": encode(MembersCursor(WORLD["me"])),
    "/v1/sessions": encode(SessionsCursor(WORLD["session"])),
    "/v1/users": encode(UsersCursor("username", "a", WORLD["me"])),
}


_LAST_CALLS = {("DELETE", "/v1/me"), ("POST", "/v1/me/password")}
"""After these nobody could go on."""
_CHANGING = {"/v1/chats/{chat_id}/leave", "/v1/chats/{chat_id}/members/{user_id}/role"}
"""These take away what later calls need; so does every DELETE."""
_POSITIONS = re.compile(r"\d+:\d+(, ?\d+:\d+)*")


@schemathesis.auth(refresh_interval=None)
class Token:
    def get(self, case: Case[Any], context: AuthContext) -> str:
        return _somebody() if (case.method, case.path) in _LAST_CALLS else str(WORLD["token"])

    def set(self, case: Case[Any], data: str, context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    path, ids = case.path, case.path_parameters or {}
    if ids.get("session_id") == WORLD["session"]:
        ids["session_id"] = NOBODY
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    position = case.headers.get("Tidings-Min-Position") if case.headers else None
    # Even in a request that is wrong elsewhere, a position of the future would be waited for.
    if position is not None and (positive or _POSITIONS.fullmatch(str(position))):
        case.headers["Tidings-Min-Position"] = "0:0, 0:1"
    if not positive:
        return
    if "device_id" in ids:
        ids["device_id"] = "phone-1"
    if "file_id" in ids:
        ids["file_id"] = WORLD["file"]
        # A link cannot be made up, and half a range is none.
        for name in ("until", "signature"):
            (case.query or {}).pop(name, None)
    if "chat_id" in ids:
        ids["chat_id"] = _new_chat() if case.method == "DELETE" or path in _CHANGING else next(_chats)
    if "message_id" in ids:
        ids["chat_id"], ids["message_id"] = WORLD["room"], WORLD["said"]
    if "user_id" in ids:
        ids["user_id"] = WORLD["other"]
    query = case.query or {}
    if "cursor" in query:
        query["cursor"] = _CURSORS[path]
    if "before_seq" in query or "before" in query:
        query.pop("after_seq", None)
    if "session_id" in ids:
        ids["session_id"] = _new_session()
    if isinstance(case.body, dict):
        if path == "/v1/files" and case.body.get("file") in ("", b""):
            case.body["file"] = "x"
        _make_sense(case.body)
        if path == "/v1/auth/login":
            case.body |= {"username": WORLD["username"], "password": PASSWORD}
        if "refresh_token" in case.body:
            case.body["refresh_token"] = _signed_in()["refresh_token"]
        if (case.method, path) == ("DELETE", "/v1/me"):
            case.body["password"] = PASSWORD
        if path == "/v1/me/password":
            case.body["old"] = PASSWORD


def _make_sense(body: dict[str, Any]) -> None:
    for name in ("message_id", "chat_id"):
        if body.get(name) is not None:
            body[name] = new_id()
    if body.get("reply_to_message") is not None:
        body["reply_to_message"] = None
    for name in ("member_ids", "user_ids"):
        if body.get(name):
            body[name] = [WORLD["other"]]
    for name in ("title", "display_name"):
        if isinstance(body.get(name), str) and line_fault(body[name]):
            body[name] = "Tea"
    if isinstance(body.get("up_to_seq"), int):
        body["up_to_seq"] %= 2
    if body.get("kind") == "TEXT":
        body |= {"file_id": None, "text": body.get("text") or "hello"}
    elif "kind" in body:
        body["file_id"] = WORLD["file"]


def _new_chat() -> str:
    body = {"title": "To leave", "member_ids": [WORLD["other"]]}
    made: str = _call("POST", "/chats", WORLD["token"], body)["chat"]["chat_id"]
    return made


def _new_session() -> str:
    """A session of the one who calls, other than the one that all calls use."""
    items = _call("GET", "/sessions", _signed_in()["access_token"])["items"]
    return next(str(session["session_id"]) for session in items if session["current"])


def _signed_in() -> Json:
    """Tokens of a new session."""
    return _call("POST", "/auth/login", None, {"username": WORLD["username"], "password": PASSWORD})


def _somebody() -> str:
    """An access token of a new user."""
    body = {"username": f"somebody-{new_id()[-12:]}", "password": PASSWORD}
    token: str = _call("POST", "/auth/register", None, body)["access_token"]
    return token


def _call(method: str, path: str, token: str | None, body: Json | None = None) -> Json:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = _http.request(method, f"/v1{path}", json=body, headers=headers)
    answer.raise_for_status()
    read: Json = answer.json()
    return read
