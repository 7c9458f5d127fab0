"""Files in the web client: chosen, dropped, pasted; seen, cancelled, tried again; and never run."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import FilePayload, expect

from tests.e2e.conftest import People
from tests.support.browser import Person
from tests.support.caller import new_id
from tests.support.gate import Gate
from tests.support.pictures import picture
from tests.support.server import Server

PHOTO: FilePayload = {"name": "party.jpg", "mimeType": "image/jpeg", "buffer": picture(size=(1_200, 800))}
NOTES: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"remember the milk"}

pytestmark = pytest.mark.needs("chromium")


def talking(ana: Person, ben: Person) -> str:
    chat_id = ana.caller.direct(ben.caller)
    ana.open(ben.name)
    ben.open(ana.name)
    return chat_id


def choose(who: Person, *files: FilePayload) -> None:
    who.page.locator("input[type=file]").set_input_files(list(files))
    expect(who.page.locator(".tray li")).to_have_count(len(files))


def send(who: Person) -> None:
    who.page.get_by_role("button", name="Send", exact=True).click()
    expect(who.page.locator(".tray li")).to_have_count(0)


def expect_loaded(who: Person, selector: str) -> None:
    """The picture was fetched and decoded: it has a size of its own."""
    image = who.page.locator(selector)
    expect(image).to_be_visible()
    expect(image).not_to_have_js_property("naturalWidth", 0)


def stored(who: Person) -> int:
    """How many messages the browser keeps to be sent; asked behind whatever is being written."""
    count: int = who.page.evaluate(
        """async () => {
            const [{name}] = await indexedDB.databases();
            const opening = indexedDB.open(name);
            const database = await new Promise((done) => (opening.onsuccess = () => done(opening.result)));
            const asking = database.transaction("outbox").objectStore("outbox").count();
            return new Promise((done) => (asking.onsuccess = () => { database.close(); done(asking.result); }));
        }"""
    )
    return count


def transfer(who: Person, kind: str, selector: str, file: FilePayload) -> None:
    """Drop a file on an element, or paste it there."""
    who.page.locator(selector).evaluate(
        """(element, {kind, name, type, bytes}) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, {type}));
            const options = {bubbles: true, cancelable: true};
            const event = kind === "paste"
                ? new ClipboardEvent(kind, {...options, clipboardData: data})
                : new DragEvent(kind, {...options, dataTransfer: data});
            element.dispatchEvent(event);
        }""",
        {"kind": kind, "name": file["name"], "type": file["mimeType"], "bytes": list(file["buffer"])},
    )


def test_a_picture_and_a_file_are_sent_seen_opened_and_saved(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    talking(ana, ben)
    choose(ana, PHOTO, NOTES)
    ana.composer.fill("Look!")
    send(ana)

    expect_loaded(ben, ".photo img")
    expect(ben.page.locator(".message").first).to_contain_text("Look!")
    image = ben.page.locator(".photo img")
    assert (image.get_attribute("width"), image.get_attribute("height")) == ("320", "213")
    expect(ben.page.locator(".file-card")).to_contain_text("notes.txt")
    expect(ana.page.locator(".tick[data-state=read]").first).to_be_visible()
    expect(ana.page.locator(".upload")).to_have_count(0)

    ben.page.locator(".photo").click()
    expect_loaded(ben, "dialog img")
    ben.page.keyboard.press("Escape")
    expect(ben.page.locator("dialog")).to_have_count(0)

    with ben.page.expect_download() as download:
        ben.page.locator(".file-card").click()
    assert download.value.suggested_filename == "notes.txt"
    assert download.value.path().read_bytes() == NOTES["buffer"]

    ben.page.reload()
    expect_loaded(ben, ".photo img")


@pytest.mark.parametrize(("size", "box"), [((100, 3_000), (96, 320)), ((3_000, 100), (320, 48))])
def test_a_picture_of_any_shape_has_its_box(person: People, size: tuple[int, int], box: tuple[int, int]) -> None:
    ana, ben = person("Ana"), person("Ben")
    chat_id = talking(ana, ben)
    file_id = ana.caller.upload(picture("PNG", size), "long.png")["file_id"]
    message = {"message_id": new_id(), "kind": "IMAGE", "file_id": file_id}
    assert ana.caller.post(f"/chats/{chat_id}/messages", message).status_code in (201, 202)
    expect_loaded(ben, ".photo img")
    shown = ben.page.locator(".photo img").bounding_box()
    assert shown is not None
    assert (round(shown["width"]), round(shown["height"])) == box


def test_files_are_dropped_pasted_and_left_out(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    talking(ana, ben)
    transfer(ana, "dragover", ".message-list", PHOTO)
    expect(ana.page.locator(".pane-chat.is-target")).to_be_visible()
    transfer(ana, "drop", ".message-list", PHOTO)
    transfer(ana, "paste", ".composer-text", NOTES)
    expect(ana.page.locator(".tray li")).to_have_count(2)
    ana.page.get_by_role("button", name="Leave out party.jpg").click()
    expect(ana.page.locator(".tray li")).to_have_count(1)
    send(ana)
    expect(ben.page.locator(".file-card")).to_contain_text("notes.txt")
    expect(ben.page.locator(".photo")).to_have_count(0)


def test_what_breaks_off_waits_through_a_closed_page_and_goes_when_the_server_is_back(
    server: Server, person: People
) -> None:
    with Gate(server.port) as gate:
        ana, ben = person("Ana", url=gate.url), person("Ben")
        chat_id = talking(ana, ben)
        gate.shut()
        choose(ana, PHOTO)
        send(ana)
        expect(ana.page.locator(".upload progress")).to_be_visible()
        expect(ana.page.locator(".photo img")).to_be_visible()
        ana.say("a text does not wait for it")
        assert stored(ana) == 2
        ana.page.close()

        gate.open()
        ana.new_page().goto(f"/#chat/{chat_id}")
        expect_loaded(ben, ".photo img")
        expect(ben.bubbles("a text does not wait for it")).to_have_count(1)
        kinds = [message["kind"] for message in ana.caller.read(f"/chats/{chat_id}/messages")["items"]]
        assert sorted(kinds) == ["IMAGE", "TEXT"]


def test_an_upload_can_be_cancelled_and_a_refused_one_says_why(server: Server, person: People) -> None:
    with Gate(server.port) as gate:
        ana, ben = person("Ana", url=gate.url), person("Ben")
        chat_id = talking(ana, ben)
        gate.shut()
        choose(ana, NOTES)
        send(ana)
        ana.page.get_by_role("button", name="Cancel").click()
        expect(ana.page.locator(".file-card")).to_have_count(0)
        gate.open()
        ana.hurry_back()
        problem = {
            "type": "/problems/too_large",
            "title": "Too large",
            "status": 413,
            "code": "too_large",
            "detail": "!",
        }
        ana.page.route(
            "**/v1/files",
            lambda route: route.fulfill(status=413, content_type="application/problem+json", body=json.dumps(problem)),
        )
        choose(ana, NOTES)
        send(ana)
        refusal = ana.page.locator(".refusal")
        expect(refusal).to_contain_text("your files take up all the room that you have")
        refusal.get_by_role("button", name="Discard").click()
        expect(refusal).to_have_count(0)
        assert ana.caller.read(f"/chats/{chat_id}/messages")["items"] == []


def test_a_picture_that_cannot_be_shown_is_sent_as_a_file(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    talking(ana, ben)
    choose(ana, {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": PHOTO["buffer"][:2_000]})
    send(ana)
    expect(ben.page.locator(".file-card")).to_contain_text("broken.jpg")


def test_what_was_uploaded_never_runs_as_ours(person: People, server: Server) -> None:
    ana = person("Ana")
    script = "<script>parent.postMessage(document.domain || 'ran', '*'); localStorage.setItem('ran', '1')</script>"
    for name, content in (
        ("page.html", f"<!DOCTYPE html><html><body>{script}</body></html>"),
        ("drawing.svg", f"<svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>"),
    ):
        file = ana.caller.upload(content.encode(), name)
        link = ana.caller.read(f"/files/{file['file_id']}/url")["url"]
        frame = (
            "link => new Promise(done => { const f = document.createElement('iframe'); f.src = link;"
            " addEventListener('message', e => done('ran ' + e.data)); f.onload = () => done('loaded');"
            " document.body.append(f); setTimeout(() => done('nothing'), 1500); })"
        )
        assert not str(ana.page.evaluate(frame, link)).startswith("ran")
    assert ana.page.evaluate("localStorage.getItem('ran')") is None
    ana.faults.clear()  # the policy says in the console that it did its work


def test_a_file_that_is_over_says_so(person: People) -> None:
    ana, ben = person("Ana"), person("Ben")
    chat_id = talking(ana, ben)
    choose(ana, PHOTO)
    send(ana)
    expect_loaded(ben, ".photo img")
    events = f"**/v1/chats/{chat_id}/events*"

    def age(route: object) -> None:
        answer = route.fetch()  # type: ignore[attr-defined]
        body = answer.json()
        for item in body["items"]:
            if "file" in item["event"]["data"]:
                item["event"]["data"]["file"]["expires_at"] = "2020-01-01T00:00:00.000Z"
        route.fulfill(response=answer, body=json.dumps(body))  # type: ignore[attr-defined]

    ben.page.route(events, age)
    ben.page.reload()
    expect(ben.page.locator(".file-card.is-gone")).to_contain_text("No longer kept")
    expect(ben.page.locator(".photo")).to_have_count(0)
