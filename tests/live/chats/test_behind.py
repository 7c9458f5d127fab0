"""What clients are told while the views are behind the log: here the test says when the fold goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from api.http.app import create_app
from api.ratelimit import RateLimit
from commands.decide import Add, ChatCommand, CreateDirect, Join
from events.ids import direct_chat_id
from events.log import Position
from infra.app import App, running
from infra.settings import Settings
from infra.sqlite.views import SqliteViews
from projections.ports import Changes
from projections.served import ServedViews
from tests.support.caller import PASSWORD, Json, new_id
from tests.support.http import check_problem

Answer = Coroutine[Any, Any, httpx.Response]


class Product:
    """The whole product in this process. `hold` keeps the views where they are until `go_on`."""

    def __init__(self, app: App, http: httpx.AsyncClient) -> None:
        self.app = app
        self._http = http
        self._tokens: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self._open = asyncio.Event()
        self._open.set()
        assert isinstance(app.views, ServedViews)
        views = app.views.current
        assert isinstance(views, SqliteViews)
        self._apply = views.apply
        views.apply = self._held  # type: ignore[method-assign]

    async def _held(self, changes: Changes) -> None:
        await self._open.wait()
        await self._apply(changes)

    def hold(self) -> None:
        self._open.clear()

    def go_on(self) -> None:
        self._open.set()

    async def logged(self, records: int, since: int) -> None:
        """Return once the log has this many records more than `since`."""
        await self.app.log.wait(0, since + records - 1)

    async def end(self) -> int:
        return (await self.app.log.end())[0]

    async def register(self, *names: str) -> None:
        for name in names:
            body = {"username": name, "password": PASSWORD}
            answer = await self._http.post("/v1/auth/register", json=body)
            assert answer.status_code == 201, answer.text
            self._tokens[name] = answer.json()["access_token"]
            self.ids[name] = answer.json()["user"]["user_id"]

    async def call(
        self, who: str, method: str, path: str, json: object = None, after: str | None = None
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._tokens[who]}"}
        if after is not None:
            headers["Tidings-Min-Position"] = after
        body: dict[str, Any] = {} if json is None else {"json": json}
        return await self._http.request(method, f"/v1{path}", headers=headers, **body)

    def start(self, who: str, method: str, path: str, json: object = None) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(self.call(who, method, path, json))

    async def group(self, who: str, *others: str, **more: object) -> str:
        body = {"title": "Tea", "member_ids": [self.ids[other] for other in others], **more}
        answer = await self.call(who, "POST", "/chats", body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["chat"]["chat_id"]
        return made

    async def seqs(self, who: str, chat_id: str) -> list[int]:
        items = (await self.call(who, "GET", f"/chats/{chat_id}/messages")).json()["items"]
        return [message["seq"] for message in items]


@pytest.fixture
async def product(tmp_path: Path) -> AsyncIterator[Product]:
    settings = Settings(data=tmp_path / "data", argon2_time_cost=1, argon2_memory_kib=8)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(running(settings))
        transport = httpx.ASGITransport(app=create_app(app.services))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://chat.example"))
        made = Product(app, http)
        stack.callback(made.go_on)  # else the fold could not end
        await made.register("ana", "ben")
        yield made


def text(message_id: str | None = None, words: str = "hello") -> Json:
    return {"message_id": message_id or new_id(), "kind": "TEXT", "text": words}


async def test_after_two_seconds_a_command_is_answered_with_its_position_alone(product: Product) -> None:
    chat_id = await product.group("ana", "ben", open=True)
    ben_id = product.ids["ben"]
    await product.register("cleo", "dan")
    product.hold()
    sent, minted = text(), new_id()
    calls: dict[str, Answer] = {
        "send": product.call("ana", "POST", f"/chats/{chat_id}/messages", sent),
        "create": product.call("ana", "POST", "/chats", {"title": "New", "member_ids": [], "chat_id": minted}),
        "direct": product.call("ana", "PUT", f"/chats/direct/{ben_id}"),
        "change": product.call("ana", "PATCH", f"/chats/{chat_id}", {"title": "Coffee"}),
        "role": product.call("ana", "PUT", f"/chats/{chat_id}/members/{ben_id}/role", {"role": "admin"}),
        "add": product.call("ana", "POST", f"/chats/{chat_id}/members", {"user_ids": [product.ids["dan"]]}),
        "join": product.call("cleo", "POST", f"/chats/{chat_id}/join"),
        "delivered": product.call("ben", "POST", f"/chats/{chat_id}/delivered", {"up_to_seq": 1}),
        "leave": product.call("ben", "POST", f"/chats/{chat_id}/leave"),
        "not yet": product.call("ana", "GET", "/chats", after="0:1000"),
    }
    answers = dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))

    not_yet = answers.pop("not yet")
    assert check_problem(not_yet, 503, "not_yet")["retry_after_ms"] == 1000
    assert not_yet.headers["Retry-After"] == "1"
    delivered = answers.pop("delivered")  # a mark that moves nothing is so already
    assert delivered.status_code == 200, delivered.text
    bodies = {}
    for name, answer in answers.items():
        assert answer.status_code == 202, f"{name}: {answer.text}"
        bodies[name] = answer.json()
        Position.parse(bodies[name].pop("position"))
    assert bodies.pop("send") == {"message_id": sent["message_id"]}
    assert bodies.pop("create") == {"chat_id": minted}
    assert bodies.pop("direct").keys() == {"chat_id"}
    assert all(body == {} for body in bodies.values())

    # A read that names the positions waits for them.
    positions = ", ".join(answer.json()["position"] for answer in answers.values())
    reading = asyncio.create_task(product.call("ana", "GET", f"/chats/{chat_id}", after=positions))
    product.go_on()
    chat = (await reading).json()["chat"]
    assert (chat["title"], chat["head_seq"]) == ("Coffee", 7)
    assert {member["user_id"] for member in chat["members"]} == {product.ids[name] for name in ("ana", "cleo", "dan")}
    again = await product.call("ana", "POST", f"/chats/{chat_id}/messages", sent)
    assert again.status_code == 200


async def test_what_the_fold_refuses_is_told_and_can_be_asked_for(product: Product) -> None:
    chat_id = await product.group("ana", "ben")
    assert (await product.call("ana", "POST", f"/chats/{chat_id}/messages", text())).status_code == 201
    end = await product.end()
    sent = text()
    product.hold()
    removing = product.start("ana", "DELETE", f"/chats/{chat_id}/members/{product.ids['ben']}")
    await product.logged(1, end)
    sending = product.start("ben", "POST", f"/chats/{chat_id}/messages", sent)
    leaving = product.start("ben", "POST", f"/chats/{chat_id}/leave")
    marking = product.start("ben", "POST", f"/chats/{chat_id}/read", {"up_to_seq": 2})
    await product.logged(4, end)
    product.go_on()

    assert (await removing).status_code == 200
    check_problem(await sending, 404, "no_such_chat")
    check_problem(await leaving, 404, "no_such_chat")
    check_problem(await marking, 404, "no_such_chat")
    check_problem(await product.call("ben", "POST", f"/chats/{chat_id}/messages", sent), 404, "no_such_chat")
    path = f"/chats/{chat_id}/messages/{sent['message_id']}"
    check_problem(await product.call("ben", "GET", path), 409, "no_such_chat")
    check_problem(await product.call("ana", "GET", path), 404, "no_such_message")
    assert await product.seqs("ana", chat_id) == [2]

    # The refusal stays the first result, even for somebody who is back.
    add = await product.call("ana", "POST", f"/chats/{chat_id}/members", {"user_ids": [product.ids["ben"]]})
    assert add.status_code == 200
    check_problem(await product.call("ben", "POST", f"/chats/{chat_id}/messages", sent), 404, "no_such_chat")
    check_problem(await product.call("ben", "GET", path), 409, "no_such_chat")
    check_problem(await product.call("ana", "POST", f"/chats/{chat_id}/messages", sent), 409, "id_taken")
    assert await product.seqs("ana", chat_id) == [2]


async def test_of_sends_with_one_id_at_once_one_is_the_message(product: Product) -> None:
    chat_id = await product.group("ana", "ben")
    end = await product.end()
    path, sent = f"/chats/{chat_id}/messages", text()
    product.hold()
    first = product.start("ana", "POST", path, sent)
    await product.logged(1, end)
    others = [product.start("ana", "POST", path, sent), product.start("ben", "POST", path, sent)]
    await product.logged(3, end)
    product.go_on()

    made, repeated, refused = await first, await others[0], await others[1]
    assert (made.status_code, repeated.status_code) == (201, 200)
    assert made.json() == repeated.json()
    check_problem(refused, 409, "id_taken")
    assert await product.seqs("ana", chat_id) == [2]


async def test_who_was_just_added_is_not_turned_away(product: Product) -> None:
    chat_id = await product.group("ana")
    end = await product.end()
    product.hold()
    adding = product.start("ana", "POST", f"/chats/{chat_id}/members", {"user_ids": [product.ids["ben"]]})
    await product.logged(1, end)
    sending = product.start("ben", "POST", f"/chats/{chat_id}/messages", text())
    check_problem(await product.call("ben", "GET", f"/chats/{chat_id}"), 404, "no_such_chat")
    assert not sending.done()
    product.go_on()
    assert (await adding).status_code == 200
    assert (await sending).status_code == 201


async def test_who_left_and_joins_again_at_once_is_in(product: Product) -> None:
    chat_id = await product.group("ana", "ben", open=True)
    end = await product.end()
    product.hold()
    leaving = product.start("ben", "POST", f"/chats/{chat_id}/leave")
    await product.logged(1, end)
    joining = product.start("ben", "POST", f"/chats/{chat_id}/join")
    product.go_on()
    assert (await leaving).status_code == 200
    assert (await joining).status_code == 200
    chat = (await product.call("ben", "GET", f"/chats/{chat_id}")).json()["chat"]
    assert (chat["head_seq"], chat["me"]["joined_seq"]) == (3, 3)


async def test_a_reply_to_what_the_views_do_not_show_yet_is_taken(product: Product) -> None:
    chat_id = await product.group("ana", "ben")
    end = await product.end()
    path, question = f"/chats/{chat_id}/messages", text()
    product.hold()
    asking = product.start("ana", "POST", path, question)
    await product.logged(1, end)
    answering = product.start("ana", "POST", path, {**text(), "reply_to_message": question["message_id"]})
    product.go_on()
    assert (await asking).status_code == 201
    assert (await answering).json()["message"]["reply_to_message"] == question["message_id"]


async def test_two_who_open_their_direct_chat_at_once_have_one(product: Product) -> None:
    end = await product.end()
    product.hold()
    opening = [
        product.start("ana", "PUT", f"/chats/direct/{product.ids['ben']}"),
        product.start("ben", "PUT", f"/chats/direct/{product.ids['ana']}"),
    ]
    await product.logged(2, end)
    product.go_on()
    one, other = [(await answer).json()["chat"] for answer in opening]
    assert one == other
    assert one["head_seq"] == 1


async def test_of_two_who_claim_a_chat_id_at_once_the_first_has_it(product: Product) -> None:
    body = {"title": "Mine", "member_ids": [], "chat_id": new_id()}
    end = await product.end()
    product.hold()
    first = product.start("ana", "POST", "/chats", body)
    await product.logged(1, end)
    second = product.start("ben", "POST", "/chats", body)
    await product.logged(2, end)
    product.go_on()
    assert (await first).status_code == 201
    check_problem(await second, 409, "chat_id_taken")


async def test_an_erasure_whose_leaving_is_cut_short_is_finished_later(product: Product) -> None:
    chat_id = await product.group("ana", "ben")
    product.hold()
    answer = await product.call("ana", "DELETE", "/me", {"password": PASSWORD})
    assert answer.status_code == 204
    check_problem(await product.call("ana", "GET", "/me"), 401, "bad_token")
    product.go_on()
    assert await product.app.accounts.finish_erasures() == 1
    chat = (await product.call("ben", "GET", f"/chats/{chat_id}")).json()["chat"]
    assert [member["user_id"] for member in chat["members"]] == [product.ids["ben"]]
    assert chat["me"]["role"] == "owner"
    assert await product.app.accounts.finish_erasures() == 0


@pytest.mark.parametrize("way_in", ["added", "joined", "written to"])
async def test_who_comes_into_a_chat_while_they_are_erased_does_not_stay(product: Product, way_in: str) -> None:
    ana, ben = product.ids["ana"], product.ids["ben"]
    chat_id = await product.group("ana", open=True)
    assert (await product.call("ben", "DELETE", "/me", {"password": PASSWORD})).status_code == 204
    # What was checked before the erasure comes into the log after it; a token is believed where its end is not known.
    commands: dict[str, tuple[ChatCommand, str]] = {
        "added": (Add(ana, (ben,)), chat_id),
        "joined": (Join(ben), chat_id),
        "written to": (CreateDirect(ana, ben), direct_chat_id(ana, ben)),
    }
    command, where = commands[way_in]
    await product.app.commands.carry_out(command, where)
    assert await product.app.views.chats_of(ben) == [where]
    await product.app.accounts.look_again()
    assert await product.app.views.chats_of(ben) == []


# --- How much one user may do --------------------------------------------------------------------------------


async def codes(calls: Iterable[Answer]) -> Counter[str]:
    answers = [await call for call in calls]
    for answer in answers:
        if answer.status_code == 429:
            check_problem(answer, 429, "rate_limited")
            assert all(name in answer.headers for name in ("Retry-After", "RateLimit", "RateLimit-Policy"))
    return Counter(answer.json().get("code", "done") for answer in answers)


@pytest.mark.parametrize(
    ("method", "path", "body", "limit"),
    [
        ("PUT", "/chats/{chat}/mute", {"until": None}, 100),
        ("PATCH", "/chats/{chat}", {"title": "Tea"}, 100),
        ("PUT", "/chats/{chat}/members/{ben}/role", {"role": "member"}, 100),
        ("POST", "/chats/{chat}/members", {"user_ids": []}, 100),
        ("DELETE", "/chats/{chat}/members/{nobody}", None, 100),
        ("POST", "/chats/{chat}/join", None, 100),
        ("PUT", "/chats/direct/{ben}", None, 100),
        ("POST", "/presence/query", {"user_ids": []}, 200),
        ("POST", "/users/query", {"user_ids": []}, 200),
    ],
)
async def test_what_one_user_changes_and_asks_is_limited(
    product: Product, method: str, path: str, body: Json | None, limit: int
) -> None:
    names = {"chat": await product.group("ana", "ben"), "ben": product.ids["ben"], "nobody": new_id()}
    wanted = path.format(**names)
    told = await codes(product.call("ana", method, wanted, body) for _ in range(limit + 60))
    assert 0 < told["rate_limited"] <= 61
    others = await product.call("ben", method, wanted.replace(product.ids["ben"], product.ids["ana"]), body)
    assert others.status_code != 429


async def test_nobody_is_put_into_thousands_of_chats(product: Product) -> None:
    product.app.services.limits = replace(product.app.services.limits, commands=RateLimit("x", 1e6, 10**6, monotonic))
    await product.register("victim", "friend")
    victim = product.ids["victim"]
    body = {"title": "Tea", "member_ids": [victim]}
    assert await codes(product.call("ana", "POST", "/chats", body) for _ in range(60)) == {
        "done": 50,
        "rate_limited": 10,
    }
    # Adding and removing in turns is the same to those to whom it happens.
    chat_id = await product.group("ben")
    path = f"/chats/{chat_id}/members"
    for _ in range(50):
        assert (await product.call("ben", "POST", path, {"user_ids": [victim]})).status_code == 200
        assert (await product.call("ben", "DELETE", f"{path}/{victim}")).status_code == 200
    check_problem(await product.call("ben", "POST", path, {"user_ids": [victim]}), 429, "rate_limited")
    # Whoever may add nobody counts against nobody; a friend still can.
    for _ in range(150):
        assert (await product.call("victim", "POST", path, {"user_ids": [product.ids["friend"]]})).status_code == 404
    assert (await product.call("friend", "POST", "/chats", body)).status_code == 201
    assert len(await product.app.views.chats_of(victim)) == 51
