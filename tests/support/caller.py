"""Signed-in users who call the HTTP API of a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from events.ids import uuid7

PASSWORD = "correct horse"
Json = dict[str, Any]

_numbers = count()


def new_id(ahead: timedelta = timedelta()) -> str:
    """A fresh UUIDv7 of now, or of another time."""
    return uuid7(datetime.now(UTC) + ahead)


class Caller:
    """One user. `call` and its like give the raw answer; the others insist that it is a success and read it."""

    def __init__(self, http: httpx.Client, signed_in: Json) -> None:
        self._http = http
        self.user_id: str = signed_in["user"]["user_id"]
        self.token: str = signed_in["access_token"]

    def call(self, method: str, path: str, json: object = None, **more: Any) -> httpx.Response:
        """`path` is below /v1; `json` None sends no body."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        if json is not None:
            more["json"] = json
        return self._http.request(method, f"/v1{path}", headers=headers, **more)

    def get(self, path: str, **params: object) -> httpx.Response:
        return self.call("GET", path, params=params)

    def post(self, path: str, json: object = None) -> httpx.Response:
        return self.call("POST", path, json)

    def put(self, path: str, json: object = None) -> httpx.Response:
        return self.call("PUT", path, json)

    def read(self, path: str, **params: object) -> Json:
        return succeeded(self.get(path, **params))

    def group(self, *others: Caller, title: str = "Tea", **more: Any) -> str:
        """A new group with these members; its id."""
        body = {"title": title, "member_ids": [other.user_id for other in others], **more}
        made: str = succeeded(self.post("/chats", body), 201)["chat"]["chat_id"]
        return made

    def direct(self, other: Caller) -> str:
        made: str = succeeded(self.put(f"/chats/direct/{other.user_id}"), 200, 201)["chat"]["chat_id"]
        return made

    def say(self, chat_id: str, text: str = "hello", **more: object) -> Json:
        """The message as sent."""
        body = {"message_id": new_id(), "kind": "TEXT", "text": text, **more}
        message: Json = succeeded(self.post(f"/chats/{chat_id}/messages", body), 201)["message"]
        return message

    def upload(self, content: bytes, name: str = "notes.txt") -> Json:
        """The file as kept."""
        return succeeded(self.call("POST", "/files", files={"file": (name, content)}), 201)

    def erase(self) -> None:
        """Erase oneself, for good."""
        answer = self.call("DELETE", "/me", {"password": PASSWORD})
        assert answer.status_code == 204, answer.text

    def chat(self, chat_id: str) -> Json:
        shown: Json = self.read(f"/chats/{chat_id}")["chat"]
        return shown

    def seqs(self, chat_id: str, **bounds: object) -> list[int]:
        return [message["seq"] for message in self.read(f"/chats/{chat_id}/messages", **bounds)["items"]]

    def roles(self, chat_id: str) -> dict[str, str]:
        return {member["user_id"]: member["role"] for member in self.read(f"/chats/{chat_id}/members")["items"]}


def succeeded(answer: httpx.Response, *statuses: int) -> Json:
    """The body of an answer that has one of these statuses, 200 if none is given."""
    assert answer.status_code in (statuses or (200,)), f"{answer.status_code} {answer.text}"
    read: Json = answer.json()
    return read


class Newcomers:
    """Registers users of names that nobody has yet."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def __call__(self, name: str = "user") -> Caller:
        body = {"username": f"{name}-{next(_numbers)}-{new_id()[-6:]}", "password": PASSWORD, "display_name": name}
        return Caller(self.http, succeeded(self.http.post("/v1/auth/register", json=body), 201))

    def some(self, *names: str) -> list[Caller]:
        return [self(name) for name in names]


@contextmanager
def newcomers(url: str) -> Iterator[Newcomers]:
    """For the server at this URL."""
    with httpx.Client(base_url=url, timeout=30) as http:
        yield Newcomers(http)
