"""One trace tells of a message from its command to the session that is told, as a real collector sees it."""

from __future__ import annotations

import httpx
import pytest

from tests.live.conftest import MakeServer
from tests.support.caller import new_id, newcomers
from tests.support.line import Line
from tests.support.otlp import collecting
from tests.support.prometheus import sample
from tests.support.traces import chain

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
pytestmark = pytest.mark.timeout(90)

ROUTE = "POST /v1/chats/{chat_id}/messages"
SETTINGS = {"TIDINGS_TRACING": "1", "TIDINGS_NODE": "one", "OTEL_BSP_SCHEDULE_DELAY": "100"}


async def test_one_trace_spans_command_log_fold_and_delivery(make_server: MakeServer) -> None:
    with collecting() as collector:
        server = make_server({**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}).start()
        with newcomers(server.url) as made:
            ana, ben = made("ana"), made("ben")
            chat_id = ana.direct(ben)
            one, other = await Line.open(server), await Line.open(server)
            await one.connect(ana.token)
            await other.connect(ben.token)
            message_id = new_id()
            ack = await one.ask("send", chat_id=chat_id, message_id=message_id, kind="TEXT", text="hello")
            event = await other.hear("event")

            trace = collector.trace_of("command send", "tell session", **{"tidings.message_id": message_id})
            assert len({span.trace_id for span in trace}) == 1
            told = [span for span in trace if span.name == "tell session"]
            assert {span.attributes["tidings.user_id"] for span in told} == {ana.user_id, ben.user_id}
            for span in told:
                assert chain(trace, span) == [
                    "command send",
                    "append message.sent",
                    "fold",
                    "deliver",
                    "tell session",
                ]
            by_name = {span.name: span for span in trace}
            assert by_name["fold"].attributes["tidings.position"] == ack["position"]
            assert by_name["fold"].attributes["tidings.seq"] == event["seq"]
            starts = [by_name[name].start_ns for name in ("command send", "append message.sent", "fold", "deliver")]
            assert starts == sorted(starts)
            assert all(span.end_ns >= span.start_ns for span in trace)
            assert {span.node for span in trace} == {"one"}

            over_http = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
            body = {"message_id": new_id(), "kind": "TEXT", "text": "hello"}
            assert ana.call("POST", f"/chats/{chat_id}/messages", body, headers=over_http).status_code == 201
            trace = collector.trace_of(ROUTE, "tell session", **{"tidings.message_id": body["message_id"]})
            assert {span.trace_id for span in trace} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
            told = [span for span in trace if span.name == "tell session"]
            assert chain(trace, told[0])[:2] == [ROUTE, "command send"]

            refused = await one.ask("send", chat_id=new_id(), message_id=new_id(), kind="TEXT", text="hello")
            assert refused["type"] == "error"
            trace = collector.trace_of("command send", **{"error.type": refused["code"]})
            assert all(span.is_error for span in trace)
            one.hang_up()
            other.hang_up()
        server.stop()
        # The collector may go away at any time.
    assert all("hello" not in str(span) for span in collector.spans)


def test_nothing_is_traced_unless_it_is_wanted(make_server: MakeServer) -> None:
    with collecting() as collector:
        server = make_server({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "TIDINGS_TRACING": "0"}).start()
        with newcomers(server.url) as made:
            ana, ben = made(), made()
            ana.say(ana.direct(ben))
        assert sample(httpx.get(f"{server.url}/metrics").text, "tidings_fold_batch_records_sum") > 0
        server.stop()
        assert collector.spans == []
