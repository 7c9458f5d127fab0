"""Files over HTTP: sent, read by those who may, and served so that nothing in them can run as ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest

from tests.live.conftest import MakeServer
from tests.support.caller import Caller, Newcomers, new_id, succeeded
from tests.support.caller import newcomers as of
from tests.support.http import check_problem
from tests.support.pictures import SECRET, opened, picture
from tests.support.server import Server

CONTENT = os.urandom(300_000)


@pytest.fixture
def pair(newcomers: Newcomers) -> tuple[Caller, Caller, str]:
    ana, ben = newcomers.some("ana", "ben")
    return ana, ben, ana.direct(ben)


def share(sender: Caller, chat_id: str, file_id: str, kind: str = "FILE", **more: object) -> dict[str, object]:
    return sender.say(chat_id, more.pop("text", ""), kind=kind, file_id=file_id, **more)  # type: ignore[arg-type]


def test_a_file_is_read_in_the_chat_that_it_was_sent_in_and_nowhere_else(newcomers: Newcomers) -> None:
    ana, ben, cleo, dan = newcomers.some("ana", "ben", "cleo", "dan")
    room = ana.group(ben, cleo)
    file = ana.upload(CONTENT, "plan.bin")
    assert file["size"] == len(CONTENT)
    path = f"/files/{file['file_id']}"
    for who in (ben, cleo, dan):
        check_problem(who.get(path), 404, "no_such_file")

    message = share(ana, room, file["file_id"], text="the plan")
    assert message["file"] == file
    for who in (ana, ben, cleo):
        assert who.get(path).content == CONTENT
    for route in ("", "/thumbnail", "/url"):
        check_problem(dan.get(path + route), 404, "no_such_file")

    succeeded(ana.call("DELETE", f"/chats/{room}/members/{ben.user_id}"))
    check_problem(ben.get(path), 404, "no_such_file")
    succeeded(ana.post(f"/chats/{room}/members", {"user_ids": [dan.user_id]}))
    check_problem(dan.get(path), 404, "no_such_file")  # it was sent before dan came
    # Who may read it may send it on, and so let others read it.
    other = cleo.group(dan)
    share(cleo, other, file["file_id"])
    assert dan.get(path).content == CONTENT


def test_a_message_shows_its_file_everywhere(pair: tuple[Caller, Caller, str]) -> None:
    ana, ben, chat_id = pair
    file = ana.upload(picture(size=(900, 600)), "party.jpg")
    assert (file["content_type"], file["width"], file["height"]) == ("image/jpeg", 900, 600)
    message = share(ana, chat_id, file["file_id"], "IMAGE", text="look")
    assert (message["kind"], message["text"], message["file"]) == ("IMAGE", "look", file)
    (listed,) = ben.read(f"/chats/{chat_id}/messages")["items"]
    (item,) = ben.read("/chats")["items"]
    (event,) = ben.read(f"/chats/{chat_id}/events", after_seq=1)["items"]
    for shown in (listed, item["last_message"], event["event"]["data"]):
        assert (shown["kind"], shown["text"], shown["file"]) == ("IMAGE", "look", file)


def test_a_message_takes_what_its_kind_says(pair: tuple[Caller, Caller, str], newcomers: Newcomers) -> None:
    ana, ben, chat_id = pair
    file = ana.upload(b"some text")
    assert file["content_type"] == "text/plain"
    hers = newcomers("cleo").upload(b"hers")

    def send(who: Caller, **more: object) -> httpx.Response:
        return who.post(f"/chats/{chat_id}/messages", {"message_id": new_id(), "text": "x", **more})

    check_problem(send(ana, kind="IMAGE", file_id=file["file_id"]), 422, "invalid")
    check_problem(send(ana, kind="FILE"), 422, "invalid")
    check_problem(send(ana, kind="TEXT", file_id=file["file_id"]), 422, "invalid")
    check_problem(send(ana, kind="FILE", file_id=hers["file_id"]), 404, "no_such_file")
    check_problem(send(ben, kind="FILE", file_id=file["file_id"]), 404, "no_such_file")
    check_problem(send(ana, kind="FILE", file_id=new_id(-timedelta(days=31))), 410, "expired")
    succeeded(send(ana, kind="FILE", file_id=file["file_id"]), 201)
    succeeded(send(ben, kind="FILE", file_id=file["file_id"]), 201)


def test_a_picture_is_told_apart_from_its_place_and_has_a_small_copy(pair: tuple[Caller, Caller, str]) -> None:
    ana, ben, chat_id = pair
    file = ana.upload(picture(size=(2_000, 1_000)), "../../party.JPG")
    assert file["name"] == "party.JPG"
    share(ana, chat_id, file["file_id"], "IMAGE")
    whole, small = ben.get(f"/files/{file['file_id']}"), ben.get(f"/files/{file['file_id']}/thumbnail")
    assert SECRET not in whole.content
    assert (opened(whole.content).size, opened(small.content).size) == ((2_000, 1_000), (640, 320))
    assert small.headers["content-type"] == "image/webp"
    check_problem(ana.get(f"/files/{ana.upload(b'no picture')['file_id']}/thumbnail"), 404, "no_such_file")


@pytest.mark.parametrize(
    ("content", "kind", "how"),
    [
        (b"<!DOCTYPE html><html><script>alert(document.domain)</script></html>", "text/html", "attachment"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/svg+xml", "attachment"),
        (picture(), "image/jpeg", "inline"),
        (picture()[:700], "image/jpeg", "attachment"),
        (b"\xff\xd8\xff\0 is how something else begins", "image/jpeg", "attachment"),
    ],
)
def test_bytes_come_with_headers_that_keep_them_from_running(
    newcomers: Newcomers, content: bytes, kind: str, how: str
) -> None:
    ana = newcomers("ana")
    file = ana.upload(content, 'Plan "B" für 사진.jpg')
    for answer in (ana.get(f"/files/{file['file_id']}"), ana.call("HEAD", f"/files/{file['file_id']}")):
        assert answer.status_code == 200
        headers = answer.headers
        assert headers["content-type"].partition(";")[0] == kind
        assert headers["content-length"] == str(file["size"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert headers["content-disposition"] == (
            f'{how}; filename="Plan _B_ f_r __.jpg"; '
            "filename*=UTF-8''Plan%20%22B%22%20f%C3%BCr%20%EC%82%AC%EC%A7%84.jpg"
        )
        assert headers["etag"] == f'"{file["sha256"]}"'
        assert headers["cache-control"] == "private, no-cache"
        assert headers["accept-ranges"] == "bytes"
    assert ana.call("HEAD", f"/files/{file['file_id']}").content == b""


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=299999-", 299_999, 300_000),
        ("bytes=100-999999999", 100, 300_000),
        ("bytes=-7", 299_993, 300_000),
        ("bytes=-999999999", 0, 300_000),
    ],
)
def test_a_range_is_answered_with_its_bytes(newcomers: Newcomers, asked: str, start: int, end: int) -> None:
    ana = newcomers("ana")
    path = f"/files/{ana.upload(CONTENT)['file_id']}"
    answer = ana.call("GET", path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_ranges_that_cannot_be_are_told_and_odd_ones_get_all(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    file = ana.upload(b"0123456789")
    path = f"/files/{file['file_id']}"
    for asked in ("bytes=10-", "bytes=99-100", "bytes=-0"):
        answer = ana.call("GET", path, headers={"Range": asked})
        check_problem(answer, 416, "out_of_range")
        assert answer.headers["content-range"] == "bytes */10"
    for asked in ("bytes=-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "nonsense"):
        answer = ana.call("GET", path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, b"0123456789")
    changed = ana.call("GET", path, headers={"Range": "bytes=0-1", "If-Range": '"older"'})
    assert changed.status_code == 200
    same = ana.call("GET", path, headers={"Range": "bytes=0-1", "If-Range": f'"{file["sha256"]}"'})
    assert same.status_code == 206
    for known in (f'"{file["sha256"]}"', f'"x", W/"{file["sha256"]}"', "*"):
        answer = ana.call("GET", path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")


def test_a_link_works_without_a_token_for_its_file_alone(pair: tuple[Caller, Caller, str], server: Server) -> None:
    ana, ben, chat_id = pair
    file, other = ana.upload(picture()), ana.upload(b"other")
    share(ana, chat_id, file["file_id"], "IMAGE")
    links = ben.read(f"/files/{file['file_id']}/url")
    with httpx.Client(base_url=server.url) as http:
        whole, small = http.get(links["url"]), http.get(links["thumbnail_url"])
        assert (whole.status_code, small.status_code) == (200, 200)
        assert whole.headers["cache-control"].startswith("private, max-age=")
        assert http.get(links["url"], headers={"Range": "bytes=0-1"}).status_code == 206
        moved = links["url"].replace(file["file_id"], other["file_id"])
        check_problem(http.get(moved), 401, "bad_token")
        check_problem(http.get(links["url"][:-1]), 401, "bad_token")
        check_problem(http.get(f"/v1/files/{file['file_id']}"), 401, "bad_token")
    assert ana.read(f"/files/{other['file_id']}/url")["thumbnail_url"] is None


def test_an_erased_user_takes_their_files_along(pair: tuple[Caller, Caller, str], server: Server) -> None:
    ana, ben, chat_id = pair
    file = ana.upload(picture())
    message = share(ana, chat_id, file["file_id"], "IMAGE", text="look")
    link = ben.read(f"/files/{file['file_id']}/url")["url"]
    ana.erase()
    check_problem(ben.get(f"/files/{file['file_id']}"), 404, "no_such_file")
    check_problem(httpx.get(server.url + link), 404, "no_such_file")
    shown = ben.read(f"/chats/{chat_id}/messages/{message['message_id']}")["message"]
    assert (shown["text"], shown["erased"], "file" in shown) == (None, True, False)
    check_problem(
        ben.post(f"/chats/{chat_id}/messages", {"message_id": new_id(), "kind": "IMAGE", "file_id": file["file_id"]}),
        404,
        "no_such_file",
    )


def test_a_file_of_long_ago_is_gone(newcomers: Newcomers) -> None:
    ana = newcomers("ana")
    for route in ("", "/thumbnail", "/url"):
        check_problem(ana.get(f"/files/{new_id(-timedelta(days=30, seconds=1))}{route}"), 410, "expired")
        check_problem(ana.get(f"/files/{new_id(-timedelta(days=29))}{route}"), 404, "no_such_file")


# --- uploads that come to nothing ------------------------------------------------------------------------------


@contextmanager
def half_an_upload(server: Server, caller: Caller, length: int, sent: bytes) -> Iterator[socket.socket]:
    """A request that says it is `length` bytes long and stops before."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {caller.token}\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        )
        line.sendall(head.encode() + sent)
        yield line


def kept(server: Server) -> list[Path]:
    return [path for name in ("incoming", "files") for path in (server.data / name).rglob("*") if path.is_file()]


def wait_until_some(server: Server) -> None:
    """Return once something of an upload is on the disk."""
    with httpx.Client(base_url=server.url) as http:
        while not any(path.stat().st_size for path in kept(server)):
            http.get("/healthz")


def test_what_says_it_is_too_large_is_refused_before_it_is_sent(newcomers: Newcomers, server: Server) -> None:
    with half_an_upload(server, newcomers("ana"), 200 * 1024 * 1024, b"") as line:
        answer = b"".join(iter(lambda: line.recv(4_000), b"")).decode()
    assert answer.startswith("HTTP/1.1 413")
    assert '"code":"too_large"' in answer
    assert "connection: close" in answer.lower()


def test_half_finished_uploads_leave_nothing_even_after_a_kill(make_server: MakeServer) -> None:
    server = make_server().start()
    with of(server.url) as people:
        ana = people("ana")
        with half_an_upload(server, ana, 50_000_000, b"x" * 3_000_000):
            wait_until_some(server)
        with httpx.Client(base_url=server.url) as http:
            while kept(server):  # the client went away
                http.get("/healthz")
        with half_an_upload(server, ana, 50_000_000, b"x" * 3_000_000):
            wait_until_some(server)
            server.signal(SIGKILL)
            server.wait_ended()
        assert kept(server)
        server.start()
        with httpx.Client(base_url=server.url) as http:
            while kept(server):
                http.get("/healthz")


def test_uploads_are_limited_by_rate_and_by_all_that_is_kept(make_server: MakeServer) -> None:
    limits = {"TIDINGS_UPLOADS_PER_MINUTE": "3", "TIDINGS_FILES_QUOTA_MB": "1"}
    with make_server(limits) as server, of(server.url) as people:
        ana, ben = people.some("ana", "ben")
        answer = ana.call("POST", "/files", files={"file": ("a", b"x" * 700_000)})
        assert answer.headers["RateLimit"].startswith('"uploads";r=2')
        check_problem(ana.call("POST", "/files", files={"file": ("a", b"x" * 700_000)}), 413, "too_large")
        ana.upload(b"small")
        check_problem(ana.call("POST", "/files", files={"file": ("a", b"x")}), 429, "rate_limited")
        ben.upload(b"x" * 700_000)


def test_a_server_over_a_bucket_serves_and_redirects(make_server: MakeServer, request: pytest.FixtureRequest) -> None:
    s3 = request.getfixturevalue("s3")
    place = {"TIDINGS_FILES": f"s3://{s3.bucket()}/chat", "TIDINGS_S3_ENDPOINT": s3.endpoint}
    server = make_server({**place, "TIDINGS_FILES_DIRECT": "1", "TIDINGS_CDN_URL": "https://cdn.example"})
    with server, of(server.url) as people:
        ana = people("ana")
        file = ana.upload(picture())
        answer = ana.get(f"/files/{file['file_id']}")
        assert answer.status_code == 307
        whole = httpx.get(answer.headers["location"])
        assert (whole.status_code, len(whole.content)) == (200, file["size"])
        assert whole.headers["content-disposition"].startswith("inline;")
        link = ana.read(f"/files/{file['file_id']}/url")["url"]
        assert link.startswith("https://cdn.example/v1/files/")
    proxied = make_server(place)
    with proxied, of(proxied.url) as people:
        ana = people("ana")
        file = ana.upload(CONTENT)
        answer = ana.call("GET", f"/files/{file['file_id']}", headers={"Range": "bytes=5-"})
        assert (answer.status_code, answer.content) == (206, CONTENT[5:])
