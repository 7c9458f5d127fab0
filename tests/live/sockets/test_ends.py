"""Every way in which a socket is refused or ended; the server goes on after each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.secrets import load_secrets
from infra.tokens import JwtTokens
from tests.live.conftest import MakeServer
from tests.live.sockets.conftest import OpenLine
from tests.support.caller import PASSWORD, Newcomers, new_id
from tests.support.caller import newcomers as of
from tests.support.line import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Line, UpgradeRefused
from tests.support.server import Server


@pytest.fixture(autouse=True)
def the_server_goes_on(server: Server) -> Iterator[None]:
    yield
    assert server.is_running
    with of(server.url) as newcomers:
        newcomers("witness")


# --- Refused before it opens -----


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"subprotocol": None}, 400),
        ({"subprotocol": "chat.v2"}, 400),
        ({"path": "/v1/elsewhere"}, 404),
        ({"headers": {"Origin": "https://evil.example"}}, 403),
        ({"headers": {"Sec-WebSocket-Key": "short"}}, 400),
    ],
)
async def test_an_upgrade_that_is_refused(server: Server, options: dict[str, Any], status: int) -> None:
    with pytest.raises(UpgradeRefused) as refused:
        await Line.open(server, **options)
    assert refused.value.status == status
    assert b"Traceback" not in refused.value.body


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": "/v1/ws?u=somebody"},
        {"subprotocol": "other, chat.v1"},
        {"headers": {"Connection": "keep-alive, Upgrade"}},
        {"headers": {"Origin": "OWN"}},
    ],
)
async def test_an_upgrade_that_is_taken(
    server: Server, newcomers: Newcomers, line: OpenLine, options: dict[str, Any]
) -> None:
    if "Origin" in options.get("headers", {}):
        options = {"headers": {"Origin": server.url}}
    opened = await line(newcomers("ana"), **options)
    assert opened.headers["sec-websocket-protocol"] == "chat.v1"


# --- Closed -----


async def test_nothing_said_within_five_seconds_is_4408(line: OpenLine) -> None:
    assert await (await line()).closed() == 4408


async def test_a_frame_before_connect_is_4400(line: OpenLine) -> None:
    opened = await line()
    opened.say("ping", id="1")
    assert await opened.closed() == 4400


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff\xfe", b""])
async def test_broken_json_is_4400(newcomers: Newcomers, line: OpenLine, raw: bytes) -> None:
    opened = await line(newcomers("ana"))
    opened.frame(raw)
    assert await opened.closed() == 4400


async def test_a_binary_frame_is_4400(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    opened.frame(b"{}", BINARY)
    assert await opened.closed() == 4400


async def test_a_frame_over_640_kb_is_1009_and_the_client_can_read_so(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    opened.frame(b"x" * 700 * 1024)
    assert await opened.closed() == 1009


async def test_fragments_over_640_kb_together_are_1009(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    opened.frame(b"x" * 400_000, TEXT, fin=False)
    opened.frame(b"x" * 400_000, CONTINUATION)
    assert await opened.closed() == 1009


@pytest.mark.parametrize("opcodes", [[CONTINUATION], [TEXT, TEXT]])
async def test_fragments_out_of_order_are_1002(newcomers: Newcomers, line: OpenLine, opcodes: list[int]) -> None:
    opened = await line(newcomers("ana"))
    for opcode in opcodes:
        opened.frame(b"{", opcode, fin=False)
    assert await opened.closed() == 1002


async def test_a_forged_and_an_expired_token_are_4401(server: Server, newcomers: Newcomers, line: OpenLine) -> None:
    ana = newcomers("ana")
    tokens = JwtTokens(load_secrets(server.data).jwt, lambda: datetime.now(UTC))
    expired = tokens.issue(ana.user_id, "session", False, datetime.now(UTC) - timedelta(hours=1))
    forged = ana.token[:-6] + ("AAAAAA" if ana.token[-6:] != "AAAAAA" else "BBBBBB")
    for token in ("", "nonsense", forged, expired):
        opened = await line()
        opened.say("connect", id="c", token=token)
        assert await opened.closed() == 4401
    renewing = await line(ana)
    renewing.say("auth", id="a", token=expired)
    assert await renewing.closed() == 4401


@pytest.mark.parametrize("how", ["sign-in ended", "erased"])
async def test_the_end_of_a_sign_in_is_4401(newcomers: Newcomers, line: OpenLine, how: str) -> None:
    ana = newcomers("ana")
    opened = await line()
    session_id = (await opened.connect(ana.token))["session_id"]
    if how == "erased":
        ana.erase()
    else:
        assert ana.call("DELETE", f"/sessions/{session_id}").status_code == 204
    assert await opened.closed() == 4401


async def test_a_new_password_ends_other_sign_ins_and_not_ones_own(newcomers: Newcomers, line: OpenLine) -> None:
    ana = newcomers("ana")
    username = ana.read("/me")["username"]
    answer = newcomers.http.post("/v1/auth/login", json={"username": username, "password": PASSWORD})
    other, own = await line(), await line(ana)
    await other.connect(answer.json()["access_token"])
    assert ana.post("/me/password", {"old": PASSWORD, "new": "another password"}).is_success
    assert await other.closed() == 4401
    assert (await own.ask("ping"))["type"] == "pong"


async def test_the_oldest_of_21_sessions_is_4409(newcomers: Newcomers, line: OpenLine) -> None:
    ana = newcomers("ana")
    lines = [await line(ana) for _ in range(21)]
    assert await lines[0].closed() == 4409
    assert (await lines[1].ask("ping"))["type"] == "pong"


async def test_a_client_that_never_reads_is_4410_and_holds_up_nobody(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat = ana.direct(ben)
    deaf = await line(receive_buffer=4_096)
    await deaf.connect(ben.token)
    one = await line(ana)
    for _ in range(140):
        await one.ask("send", chat_id=chat, message_id=new_id(), kind="TEXT", text="x" * 100_000)
    # It reads at last, and finds what the kernel had kept, and why there is no more.
    assert await deaf.closed() == 4410
    told = [frame["seq"] for frame in deaf.of("event")]
    assert told == list(range(2, len(told) + 2))
    assert len(told) < 140


async def test_flooding_is_4429(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    for _ in range(3_000):
        opened.say("status", status="online")
    assert await opened.closed() == 4429


FLOODS = {
    "pings": (PING, b""),
    "pongs": (PONG, b"x"),
    "empty parts of a message": (CONTINUATION, b""),
    "large frames that are refused": (
        TEXT,
        b'{"type":"connect","id":"c","token":"t","unknown":"' + b"x" * 250_000 + b'"}',
    ),
}


@pytest.mark.parametrize(("opcode", "data"), FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("signed_in", [False, True], ids=["unknown", "signed in"])
async def test_a_flood_of_any_kind_is_4429(
    newcomers: Newcomers, line: OpenLine, opcode: int, data: bytes, signed_in: bool
) -> None:
    opened = await line(newcomers("ana") if signed_in else None)
    if opcode == CONTINUATION:
        opened.frame(b"", TEXT, fin=False)
    for _ in range(3_000 if len(data) < 2 else 120):
        opened.frame(data, opcode, fin=opcode != CONTINUATION)
    assert await opened.closed() == 4429


async def test_nothing_is_read_after_a_close(newcomers: Newcomers, line: OpenLine) -> None:
    ana = newcomers("ana")
    opened, witness = await line(ana), await line(ana)
    opened.frame(b"{")
    for _ in range(200):
        opened.frame(b"x" * 60_000)
    assert await opened.closed() == 4400
    assert (await witness.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("letter", ["A", "\u0416"])
async def test_the_largest_text_goes_through_in_its_longest_form(
    newcomers: Newcomers, line: OpenLine, letter: str
) -> None:
    ana, ben = newcomers.some("ana", "ben")
    chat, opened = ana.direct(ben), await line(ana)
    count = 102_400 // len(letter.encode())
    escaped = f"\\u{ord(letter):04x}" * count
    opened.frame(
        f'{{"type":"send","id":"1","chat_id":"{chat}","message_id":"{new_id()}","kind":"TEXT","text":"{escaped}"}}'.encode()
    )
    assert (await opened.hear(reply_to="1"))["type"] == "ack"
    assert (await opened.hear("event"))["event"]["data"]["text"] == letter * count


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])
async def test_a_close_code_that_must_not_be_sent_is_not_echoed(
    newcomers: Newcomers, line: OpenLine, code: int
) -> None:
    assert await (await line(newcomers("ana"))).close(code) == 1002


async def test_a_reason_that_is_not_utf_8_is_1007(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    opened.frame((1000).to_bytes(2, "big") + b"\xff\xfe", CLOSE)
    assert await opened.closed() == 1007


async def test_control_frames_between_the_parts_of_a_message_are_answered(newcomers: Newcomers, line: OpenLine) -> None:
    opened = await line(newcomers("ana"))
    opened.frame(b'{"type":"pi', TEXT, fin=False)
    opened.frame(b"between", PING)
    opened.frame(b'ng","id":"1"}', CONTINUATION)
    assert await opened.pong() == b"between"
    assert (await opened.hear(reply_to="1"))["type"] == "pong"


@pytest.mark.parametrize("version", ["8", "0", "", "13, 8"])
async def test_another_version_of_the_protocol_is_426(server: Server, version: str) -> None:
    with pytest.raises(UpgradeRefused) as refused:
        await Line.open(server, headers={"Sec-WebSocket-Version": version})
    assert refused.value.status == 426


@pytest.mark.parametrize("code", [1000, 1001, 4999])
async def test_a_goodbye_is_answered_with_its_own_code(newcomers: Newcomers, line: OpenLine, code: int) -> None:
    assert await (await line(newcomers("ana"))).close(code) == code


async def test_a_draining_server_says_reconnect_then_1012(make_server: MakeServer) -> None:
    with make_server() as server, of(server.url) as newcomers:
        opened = await Line.open(server)
        await opened.connect(newcomers("ana").token)
        silent = await Line.open(server)
        server.signal(signal.SIGTERM)
        assert (await opened.hear("reconnect"))["after_ms"] >= 0
        assert await opened.closed() == 1012
        assert await silent.closed() == 1012
        assert server.wait_ended(20) == 0


# --- Answered, and the connection goes on -----


async def test_bad_input_is_an_error_and_the_connection_goes_on(newcomers: Newcomers, line: OpenLine) -> None:
    ana, ben, cleo = newcomers.some("ana", "ben", "cleo")
    chat, theirs = ana.direct(ben), ben.direct(cleo)
    opened = await line(ana)
    send: dict[str, Any] = {"chat_id": chat, "message_id": new_id(), "kind": "TEXT", "text": "x"}
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("nonsense", {}, "invalid"),
        ("ping", {"colour": "red"}, "unknown_field"),
        ("send", {**send, "text": 7}, "invalid"),
        ("send", {**send, "text": "x" * 102_401}, "too_large"),
        ("send", {**send, "text": ""}, "invalid"),
        ("send", {**send, "message_id": new_id(timedelta(minutes=5))}, "id_from_future"),
        ("send", {**send, "message_id": "7"}, "invalid"),
        ("send", {**send, "chat_id": theirs}, "no_such_chat"),
        ("send", {**send, "chat_id": "any shape"}, "no_such_chat"),
        ("send", {**send, "reply_to_message": new_id()}, "bad_reply"),
        ("read", {"chat_id": chat, "up_to_seq": 99}, "beyond_head"),
        ("read", {"chat_id": theirs, "up_to_seq": 1}, "no_such_chat"),
        ("leave", {"chat_id": chat}, "direct_chat"),
        ("join", {"chat_id": theirs}, "no_such_chat"),
    ]
    for kind, fields, code in cases:
        answer = await opened.ask(kind, **fields)
        assert (answer["type"], answer.get("code")) == ("error", code), (kind, fields)
    assert (await opened.ask("send", **send))["type"] == "ack"


# --- One that breaks the protocol, and everybody else -----

BREAKS = {
    "a reserved opcode": b"\x83\x80\0\0\0\0",
    "a reserved control opcode": b"\x8b\x80\0\0\0\0",
    "an unmasked frame": b"\x81\x02{}",
    "an oversize ping": b"\x89\xfe\x00\x80" + bytes(4 + 128),
    "a fragmented ping": b"\x09\x80\0\0\0\0",
    "RSV1": b"\xc1\x82\0\0\0\0{}",
    "RSV2": b"\xa1\x82\0\0\0\0{}",
    "a length in too many bytes": b"\x81\xfe\x00\x02\0\0\0\0{}",
    "a close code of one byte": b"\x88\x81\0\0\0\0\x03",
    "a close code that only exists locally": b"\x88\x82\0\0\0\0\x03\xee",
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
async def test_a_broken_protocol_is_1002_and_nobody_else_notices(
    newcomers: Newcomers, line: OpenLine, broken: bytes
) -> None:
    ana, ben, mallory = newcomers.some("ana", "ben", "mallory")
    chat, theirs = ana.direct(ben), ana.group(ben, mallory)
    bad, one, other, tablet = await line(mallory), await line(ana), await line(ben), await line(mallory)
    await one.ask("presence.watch", user_ids=[mallory.user_id])
    bad.write(broken)  # and it keeps its side open
    # Everybody is told something at once, in chats with the broken socket and without.
    for place in (theirs, chat, theirs):
        assert (await one.ask("send", chat_id=place, message_id=new_id(), kind="TEXT", text="x"))["type"] == "ack"
    # Between chats there is no order where they are of different partitions.
    assert sorted([(await other.hear("event"))["chat_id"] for _ in range(3)]) == sorted([theirs, chat, theirs])
    await tablet.hear("event", seq=3)
    assert (await one.ask("ping"))["type"] == "pong"
    # A new password ends the sign-in's sockets, past the broken one.
    assert mallory.post("/me/password", {"old": PASSWORD, "new": "another password"}).is_success
    assert await bad.closed() == 1002
    assert all(event["chat_id"] == theirs for event in bad.of("event"))


async def test_a_broken_socket_of_the_same_sign_in_keeps_no_other_from_its_end(
    newcomers: Newcomers, line: OpenLine
) -> None:
    ana = newcomers("ana")
    bad, other = await line(), await line()
    session_id = (await bad.connect(ana.token))["session_id"]
    await other.connect(ana.token)
    bad.write(BREAKS["a reserved opcode"])
    assert ana.call("DELETE", f"/sessions/{session_id}").status_code == 204
    assert await other.closed() == 4401


async def test_a_server_ends_with_0_past_broken_sockets(make_server: MakeServer) -> None:
    with make_server() as server, of(server.url) as newcomers:
        ana = newcomers("ana")
        bad = [await Line.open(server) for _ in BREAKS]
        for each, broken in zip(bad, BREAKS.values(), strict=True):
            await each.connect(ana.token)
            each.write(broken)
        other = await Line.open(server)
        await other.connect(ana.token)
        server.signal(signal.SIGTERM)
        assert await other.closed() == 1012
        for each in bad:
            each.hang_up()
        await asyncio.sleep(0)
        assert server.wait_ended(20) == 0
