"""What operators see and do. An addition to the contract: for users with the admin role alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import Field

from api.http.models import Answer, Body, DependencyAnswer, ShownTime, shown
from api.http.routing import Operator, Svc, make_router, problems
from api.operations import (
    DeadLetter,
    GenerationStanding,
    GenerationState,
    Job,
    JobState,
    Operations,
    PartitionStanding,
    Process,
    ProcessKind,
)
from commands.errors import Conflict, Forbidden, NoSuchChat, RateLimited, Unavailable
from events.ids import is_chat_id

router = make_router("operations")
_MAX_GENERATION = 1_000_000
_REFUSALS = problems(Forbidden, RateLimited)
_REFUSALS_OF_JOBS = problems(Forbidden, RateLimited, Conflict)


class PartitionAnswer(Answer):
    partition: int
    position: int = Field(description="The next offset that the views want.")
    end: int = Field(description="The offset after the log's last record.")
    lag_events: int
    lag_seconds: float = Field(description="For how long the oldest record that the views lack has been waiting.")

    @classmethod
    def of(cls, standing: PartitionStanding) -> PartitionAnswer:
        return cls(**asdict(standing))


class GenerationAnswer(Answer):
    generation: int
    state: GenerationState
    paused: bool
    verdict: Literal["", "same", "different", "renumbered"] = Field(
        description="What the last comparison with the served generation gave; empty before the first."
    )
    position: int = Field(description="Records that it has, of all partitions together.")
    end: int
    lag_events: int
    lag_seconds: float
    parked_chats: int

    @classmethod
    def of(cls, standing: GenerationStanding) -> GenerationAnswer:
        return cls(**asdict(standing))


class ProcessAnswer(Answer):
    name: str
    kind: ProcessKind
    version: str
    since: ShownTime
    generation: int | None = Field(description="The one that its readers use.")
    sessions: int
    users: int
    partitions: list[int] = Field(description="Those that it folds.")

    @classmethod
    def of(cls, process: Process, generation: int | None) -> ProcessAnswer:
        return cls(
            name=process.name,
            kind=process.kind,
            version=process.version,
            since=shown(process.since),
            generation=generation,
            sessions=process.sessions,
            users=process.users,
            partitions=list(process.partitions),
        )


class JobAnswer(Answer):
    job_id: int
    action: str
    target: str = Field(description="A generation, a chat or a position; empty where the action needs none.")
    state: JobState
    started_at: ShownTime
    ended_at: ShownTime | None
    message: str
    result: dict[str, Any] | None

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        return cls(
            job_id=job.job_id,
            action=job.action,
            target=job.target,
            state=job.state,
            started_at=shown(job.started_at),
            ended_at=None if job.ended_at is None else shown(job.ended_at),
            message=job.message,
            result=None if job.result is None else dict(job.result),
        )


class OverviewAnswer(Answer):
    server_time: ShownTime
    version: str
    dependencies: list[DependencyAnswer]
    partitions: list[PartitionAnswer]
    generations: list[GenerationAnswer]
    previous: int | None = Field(description="The generation that a rollback goes to.")
    processes: list[ProcessAnswer]
    jobs: list[JobAnswer] = Field(description="What operators had done by this process, the newest first.")


class DeadLetterAnswer(Answer):
    chat_id: str
    position: str
    type: str
    appended_at: ShownTime | None
    reason: str

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterAnswer:
        return cls(
            chat_id=letter.chat_id,
            position=letter.position,
            type=letter.type,
            appended_at=None if letter.appended_at is None else shown(letter.appended_at),
            reason=letter.reason,
        )


class DeadLettersAnswer(Answer):
    items: list[DeadLetterAnswer]


class Switch(Body):
    accept_differences: bool = Field(default=False, description="Serve it although the comparison found differences.")


class Discard(Body):
    position: str = Field(description="The record at which the chat stands still, as the list of dead letters has it.")


async def operations_of(services: Svc) -> Operations:
    assert services.operations is not None, "these routes are there only with operations"
    return services.operations


Ops = Annotated[Operations, Depends(operations_of)]
Generation = Annotated[int, Field(ge=1, le=_MAX_GENERATION)]


@router.get("/v1/admin/overview", responses=_REFUSALS)
async def overview(caller: Operator, operations: Ops, services: Svc) -> OverviewAnswer:
    """How everything is: log and lag, generations of the views, processes, and what operators had done."""
    found = await operations.overview()
    return OverviewAnswer(
        server_time=shown(services.now()),
        version=services.version,
        dependencies=DependencyAnswer.all_of(services.health),
        partitions=[PartitionAnswer.of(each) for each in found.partitions],
        generations=[GenerationAnswer.of(each) for each in found.generations],
        previous=found.previous,
        processes=[ProcessAnswer.of(each, found.readers.get(each.name)) for each in found.processes],
        jobs=[JobAnswer.of(each) for each in found.jobs],
    )


@router.post("/v1/admin/generations", status_code=202, responses=_REFUSALS_OF_JOBS)
async def rebuild(caller: Operator, operations: Ops) -> JobAnswer:
    """Fold the whole log into the next generation of the views, or go on with one that was interrupted."""
    return JobAnswer.of(operations.start("rebuild", "", by=caller.user_id))


@router.post("/v1/admin/generations/{generation}/verify", status_code=202, responses=_REFUSALS_OF_JOBS)
async def verify(generation: Generation, caller: Operator, operations: Ops) -> JobAnswer:
    """Compare a generation with the served one."""
    return JobAnswer.of(operations.start("verify", str(generation), by=caller.user_id))


@router.post("/v1/admin/generations/{generation}/switch", status_code=202, responses=_REFUSALS_OF_JOBS)
async def switch(generation: Generation, body: Switch, caller: Operator, operations: Ops) -> JobAnswer:
    """Have all readers use another generation. It must have been compared."""
    job = operations.start("switch", str(generation), by=caller.user_id, accept_differences=body.accept_differences)
    return JobAnswer.of(job)


@router.post("/v1/admin/generations/{generation}/drop", status_code=202, responses=_REFUSALS_OF_JOBS)
async def drop(generation: Generation, caller: Operator, operations: Ops) -> JobAnswer:
    """Remove a generation that nobody reads."""
    return JobAnswer.of(operations.start("drop", str(generation), by=caller.user_id))


@router.post("/v1/admin/generations/{generation}/pause", status_code=202, responses=_REFUSALS_OF_JOBS)
async def pause(generation: Generation, caller: Operator, operations: Ops) -> JobAnswer:
    """Fold nothing into a generation for now."""
    return JobAnswer.of(operations.start("pause", str(generation), by=caller.user_id))


@router.post("/v1/admin/generations/{generation}/resume", status_code=202, responses=_REFUSALS_OF_JOBS)
async def resume(generation: Generation, caller: Operator, operations: Ops) -> JobAnswer:
    """Go on folding a generation that was paused."""
    return JobAnswer.of(operations.start("resume", str(generation), by=caller.user_id))


@router.post("/v1/admin/rollback", status_code=202, responses=_REFUSALS_OF_JOBS)
async def rollback(caller: Operator, operations: Ops) -> JobAnswer:
    """Back to the generation that was served before."""
    return JobAnswer.of(operations.start("rollback", "", by=caller.user_id))


@router.get("/v1/admin/dead-letters", responses=_REFUSALS)
async def dead_letters(caller: Operator, operations: Ops) -> DeadLettersAnswer:
    """Chats that stand still because a record of theirs cannot be folded."""
    return DeadLettersAnswer(items=[DeadLetterAnswer.of(each) for each in await operations.dead_letters()])


_REFUSALS_OF_LETTERS = problems(Forbidden, RateLimited, Conflict, NoSuchChat)


@router.post("/v1/admin/dead-letters/{chat_id}/retry", status_code=202, responses=_REFUSALS_OF_LETTERS)
async def retry(chat_id: str, caller: Operator, operations: Ops) -> JobAnswer:
    """Have what waits in this chat folded, in order: for when the defect is mended. Noted in the log."""
    return JobAnswer.of(operations.start("retry", _chat(chat_id), by=caller.user_id))


@router.post(
    "/v1/admin/dead-letters/{chat_id}/discard",
    status_code=202,
    responses=problems(Forbidden, RateLimited, Conflict, NoSuchChat, Unavailable),
)
async def discard(chat_id: str, body: Discard, caller: Operator, operations: Ops) -> JobAnswer:
    """Pass over the record at which a chat stands still, for ever, and have what waits behind it folded.

    409 where the chat does not stand still at that record, or no longer.
    """
    chat_id = _chat(chat_id)
    if all((each.chat_id, each.position) != (chat_id, body.position) for each in await operations.dead_letters()):
        raise Conflict(f"the chat does not stand still at {body.position}")
    return JobAnswer.of(operations.start("discard", body.position, by=caller.user_id))


def _chat(chat_id: str) -> str:
    if not is_chat_id(chat_id):
        raise NoSuchChat
    return chat_id
