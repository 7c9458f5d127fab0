"""Every metric of Tidings with its meaning: what /metrics says of it, and what docs/metrics.md is made from.

A metric that is not listed here cannot be told, so none is without a meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Place = Literal["serve", "gateway", "worker", "audit"]

SERVES: tuple[Place, ...] = ("serve", "gateway")
FOLDS: tuple[Place, ...] = ("serve", "worker")
ALL: tuple[Place, ...] = ("serve", "gateway", "worker")


@dataclass(frozen=True, slots=True)
class Spec:
    """`name` is without the endings that Prometheus adds (`_total`, `_bucket` …)."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    where: tuple[Place, ...]
    meaning: str
    advice: str
    """How an operator reads it: what is normal, and what it means if it is not."""


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    specs: tuple[Spec, ...]


def _counter(name: str, where: tuple[Place, ...], meaning: str, advice: str, *labels: str) -> Spec:
    return Spec(f"tidings_{name}", "counter", labels, where, meaning, advice)


def _gauge(name: str, where: tuple[Place, ...], meaning: str, advice: str, *labels: str) -> Spec:
    return Spec(f"tidings_{name}", "gauge", labels, where, meaning, advice)


def _histogram(name: str, where: tuple[Place, ...], meaning: str, advice: str, *labels: str) -> Spec:
    return Spec(f"tidings_{name}", "histogram", labels, where, meaning, advice)


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "What users feel",
        (
            _histogram(
                "ack_seconds",
                SERVES,
                "From a send on a socket until its sender has the acknowledgement: the log has it durably.",
                "Its count is the number of sends accepted. Slow means a slow log: a disk, or a broker out of sync.",
            ),
            _histogram(
                "delivery_seconds",
                SERVES,
                "From the moment an event was accepted at a gateway until its frame went to the sessions here.",
                "End to end, once for each event and gateway that has somebody to tell. High with low `ack_seconds`: "
                "the fold is behind, or fan-out lost hints and the views had to be asked.",
            ),
            _counter(
                "sends_refused",
                SERVES,
                "Sends on sockets that were answered by an error, by its code.",
                "`rate_limited` is one user's burst; `unavailable` is an outage of the log.",
                "code",
            ),
            _counter(
                "http_requests",
                SERVES,
                "HTTP answers by method, route and status.",
                "Messages sent over HTTP are `POST /v1/chats/{chat_id}/messages` here.",
                "method",
                "route",
                "status",
            ),
            _histogram("http_request_seconds", SERVES, "Time to the end of an HTTP answer.", "By route.", "route"),
        ),
    ),
    Chapter(
        "Who may do how much",
        (
            _gauge(
                "connections",
                SERVES,
                "Connections open right now, sockets among them.",
                "Far above `sessions`: somebody opens connections and does nothing with them.",
            ),
            _gauge(
                "connections_most",
                SERVES,
                "Connections that this process may have open, going by its limit of descriptors.",
                "Near `connections`, idle ones are ended to make room: raise the limit (`ulimit -Hn`, `LimitNOFILE`).",
            ),
            _counter(
                "security_events",
                SERVES,
                "Sign-ins, refusals, limits that were hit and what was taken away, by kind.",
                "Each is an entry of the logger `tidings.security` too, up to 20 a second. Many `sign_in_failed` or "
                "`limited` beside few `signed_in`: somebody guesses. `token_reused`: a refresh token was stolen, or a "
                "client is broken.",
                "event",
            ),
            _counter(
                "connections_ended",
                SERVES,
                "Connections that the server ended because of the client, by what it did.",
                "`slow_head`, `slow_body`, `not_reading`: a bad network, or somebody who holds connections on purpose. "
                "`too_many`: one address is at `TIDINGS_CONNECTIONS_PER_ADDRESS`; if that is a proxy of yours, name it "
                "in `TIDINGS_FORWARDED_ALLOW_IPS`. `no_room`: see `connections_most`.",
                "reason",
            ),
        ),
    ),
    Chapter(
        "Sockets",
        (
            _gauge("sessions", SERVES, "Sockets connected right now.", "Uneven over gateways: look at the balancer."),
            _gauge("users_connected", SERVES, "Users with a session here.", "Below `sessions` by second devices."),
            _gauge(
                "chats_followed",
                SERVES,
                "Chats that this gateway keeps up with because somebody here is in them.",
                "Memory grows with it.",
            ),
            _counter("gateway_connects", SERVES, "Sockets that were opened.", "A jump is a reconnecting crowd."),
            _counter("gateway_frames_in", SERVES, "Frames received.", "The load that clients make."),
            _counter("gateway_frames_out", SERVES, "Frames written to sockets.", "The load that fan-out makes."),
            _counter("gateway_bytes_out", SERVES, "Bytes written to sockets.", "Compare with the network's limit."),
            _counter("gateway_errors", SERVES, "Frames answered by an error, by its code.", "As HTTP's 4xx.", "code"),
            _counter(
                "gateway_closes",
                SERVES,
                "Sockets that this side closed, by close code.",
                "4410 reads too slowly, 4429 floods, 4401 has an old token, 1012 is a drain, 1011 a defect of ours.",
                "code",
            ),
        ),
    ),
    Chapter(
        "Fan-out",
        (
            _counter(
                "fanout_published",
                FOLDS,
                "Messages handed to the bus: one for each chat that a batch changed, and each user concerned.",
                "Follows the fold's rate.",
            ),
            _counter(
                "fanout_unsent",
                FOLDS,
                "Messages that the bus could not take because it was away.",
                "Harmless for the truth: gateways read the views, and messages come some seconds late.",
            ),
            _counter(
                "fanout_received",
                SERVES,
                "Messages from the bus that concerned a chat or user of this gateway.",
                "None while others publish: this gateway does not hear the bus.",
            ),
            _counter(
                "fanout_resyncs",
                SERVES,
                "Times that hints may have been lost, so that all local chats were compared with the views.",
                "One for each break of the bus. Steady: the line to Redis is bad, or a partition has no worker.",
            ),
            _counter(
                "gateway_events",
                SERVES,
                "Events taken in, from fan-out or the views.",
                "Once for each gateway with a member of the chat.",
            ),
            _counter(
                "gateway_fills",
                SERVES,
                "Times that a hole in a chat's numbers was filled from the views.",
                "Some after every break of the bus. Steady: hints are lost.",
            ),
            _counter(
                "gateway_replays",
                SERVES,
                "Chats in which a client that came back was sent what it had missed.",
                "Follows reconnects.",
            ),
            _counter(
                "gateway_unreadable",
                SERVES,
                "Messages shown as erased because no key opens them.",
                "Always 0. Else keys are lost, or the master key is another one.",
            ),
        ),
    ),
    Chapter(
        "The log",
        (
            _gauge(
                "log_end", SERVES, "Offset after the last durable record.", "Its rate is the event rate.", "partition"
            ),
            _gauge(
                "log_waiting",
                SERVES,
                "Appends that wait for their confirmation.",
                "Grows when the disk or the brokers do not keep up.",
            ),
            _counter(
                "log_failures",
                SERVES,
                "Appends with an unknown outcome: their senders were told `unavailable` and repeat them.",
                "Always 0 in health.",
            ),
            _histogram(
                "log_commit_seconds",
                ("serve",),
                "Time of one commit with its fsync. Embedded log only.",
                "The disk's speed. With Kafka see `ack_seconds`.",
            ),
            _histogram(
                "log_commit_records",
                ("serve",),
                "Records that shared one commit. Embedded log only.",
                "Grows with load, so that the cost of a record falls.",
            ),
        ),
    ),
    Chapter(
        "The fold",
        (
            _counter("fold_records", FOLDS, "Records folded into the views.", "The fold's rate.", "partition"),
            _gauge(
                "projection_lag",
                ALL,
                "Records that the views do not have yet.",
                "Near 0. A gateway tells what it has heard, a worker what it knows of its own partitions.",
                "partition",
            ),
            _gauge(
                "projection_lag_seconds",
                FOLDS,
                "For how long the oldest record that the views do not have has been waiting; 0 where they have all.",
                "Under 1. Growing: the fold is too slow, or a store is away.",
                "partition",
            ),
            _histogram("fold_batch_records", FOLDS, "Records of a batch.", "Grows with load and with lag."),
            _histogram(
                "fold_seconds",
                FOLDS,
                "Decoding and deciding of a batch, with look-ups in the views.",
                "Slow with a quick store: the CPU is the limit. Else look-ups: many chats are cold.",
            ),
            _histogram("fold_write_seconds", FOLDS, "Until the store had a batch.", "The store's speed."),
            _histogram(
                "fold_delay_seconds",
                FOLDS,
                "From the log's append of a batch's oldest record until the views had it.",
                "The share of the fold in `delivery_seconds`.",
            ),
            _counter(
                "fold_refused",
                FOLDS,
                "Records that the fold did not let happen, by code. Their senders were told.",
                "Races, such as a send of somebody who was just removed. Many: gateways decide on old state.",
                "code",
            ),
            _counter(
                "fold_repeats",
                FOLDS,
                "Records with a message id that was used before.",
                "Clients that repeated a send. Many: acknowledgements are slow or lost.",
            ),
            _counter(
                "fold_parked",
                FOLDS,
                "Records put aside, because they or an earlier one of their chat cannot be folded.",
                "Always 0 in health. The chat stands still until `tidings dead-letters` retries or discards.",
            ),
            _gauge(
                "fold_waits",
                FOLDS,
                "1 where the fold waits for a store that is away.",
                "Nothing is lost and nobody is refused: new messages are shown when the store is back.",
                "partition",
            ),
        ),
    ),
    Chapter(
        "Pushes",
        (
            _counter(
                "pushes",
                FOLDS,
                "Pushes tried, by what became of them.",
                "`sent` is normal; `gone` are dead tokens, whose devices are removed; `busy` are tried again; "
                "`refused` are dead letters; `logged` had no provider set up.",
                "result",
            ),
            _counter("push_notes", FOLDS, "Messages looked at for push.", "The message rate, while there are devices."),
            _counter(
                "push_repeats",
                FOLDS,
                "Notes that had been stored before.",
                "Some after a fold was taken over; each is pushed once.",
            ),
            _counter("push_retries", FOLDS, "Retries that came due.", "Follows `busy`."),
            _counter("push_dead", FOLDS, "Pushes given up: refused, or busy for 24 hours.", "Always 0 in health."),
            _gauge(
                "push_behind_seconds",
                FOLDS,
                "How old the last message was when its pushes were sent.",
                "Under 1. Growing: a provider is slow, or the process has too little CPU. Retries show here too.",
            ),
        ),
    ),
    Chapter(
        "Generations and audit",
        (
            _gauge(
                "generation_served",
                ALL,
                "The generation of the views that readers of this process use, or a worker speaks for; 0 until known.",
                "The same everywhere, but for some seconds around a switch.",
            ),
            _gauge(
                "generation_lag",
                ("audit",),
                "Records that a generation does not have yet, of all partitions together.",
                "Falls while one is built; near 0 once it is followed. As of 15 s ago, or the beginning of the round.",
                "generation",
            ),
            _gauge(
                "generation_lag_seconds",
                ("audit",),
                "For how long the oldest record that a generation does not have has been waiting.",
                "As `projection_lag_seconds`, for every generation; one that is paused grows by a second each second.",
                "generation",
            ),
            _gauge(
                "generation_parked_chats",
                ("audit",),
                "Chats that stand still in a generation, because a record of theirs cannot be folded.",
                "Always 0 in health. In the one beside the served alone: the new fold is wrong.",
                "generation",
            ),
            _gauge(
                "audit_mismatched_chats",
                ("audit",),
                "Chats of which the last round found that views and log do not add up.",
                "Always 0 in health. The round's output names chats and what is wrong.",
            ),
            _gauge(
                "audit_records",
                ("audit",),
                "Records of the log as the last round found them in the views: applied, void, repeats or parked.",
                "Their sum is the log's records, where all is well.",
                "partition",
                "outcome",
            ),
            _counter("audit_rounds", ("audit",), "Rounds that came to their end.", "One every `--every` seconds."),
            _gauge("audit_round_seconds", ("audit",), "How long the last round took.", "Grows with the log."),
            _gauge(
                "audit_ended_seconds",
                ("audit",),
                "When the last round ended, in seconds since 1970.",
                "Old: the audit is stuck, or a store that it reads is away.",
            ),
        ),
    ),
    Chapter(
        "The process",
        (
            _gauge(
                "build_info",
                ALL,
                "1, with the version, the Python and the name of the node.",
                "Two versions at once: a roll-out is under way.",
                "version",
                "python",
                "node",
            ),
            _gauge(
                "dependency_up",
                ALL,
                "1 where a dependency answered when last asked, else 0.",
                "The same as /readyz tells; asked every few seconds.",
                "name",
            ),
            _gauge("draining", ALL, "1 while the process sends its clients away to end.", "During a restart."),
            _histogram(
                "loop_delay_seconds",
                ALL,
                "How late a timer of the event loop came.",
                "Above some 50 ms something blocks the process, or the CPU is too small.",
            ),
        ),
    ),
)

STANDARD = ("process_", "python_")
"""Names of the Prometheus client's own metrics of process and interpreter begin so."""

SPECS: dict[str, Spec] = {spec.name: spec for chapter in CHAPTERS for spec in chapter.specs}


def page() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "What `/metrics` tells, in Prometheus' text format, at the port of `tidings serve`, `tidings gateway`, "
        "`tidings worker` and `tidings audit --continuous --port PORT`.",
        "Counters end in `_total`; a histogram has `_bucket`, `_sum` and `_count`. All but `tidings_sessions` and the",
        "like begin at 0 with the process. Metrics of process and interpreter (`process_…`, `python_…`) are those of",
        "every Prometheus client. Dashboards are in `infra/deploy/grafana`, alert rules in `infra/deploy/prometheus`.",
        "",
        "This page is made from `infra/metrics/catalogue.py`: `python -m infra.metrics`.",
    ]
    for chapter in CHAPTERS:
        lines += ["", f"## {chapter.title}", "", "| metric | kind | labels | told by | meaning | how to read it |"]
        lines.append("|---|---|---|---|---|---|")
        for spec in chapter.specs:
            name = spec.name + ("_total" if spec.kind == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in spec.labels)
            cells = (f"`{name}`", spec.kind, labels, ", ".join(spec.where), spec.meaning, spec.advice)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
