"""`tidings projections …`: generations of the read models, made, compared, exchanged and dropped."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.table import Table

from infra.cli.console import answers, progress, remarks
from infra.cli.faults import Fault
from infra.estate import Busy, Estate, NoViews, opened
from infra.settings import Settings
from projections.inspection import InspectedViews
from streams.registry import Generation, Registered, ServedGeneration
from streams.verify import Comparer, Comparison

NAMES = ("chats", "timeline", "receipts", "inbox")
"""Read models that one fold makes together, and so generations of them hold all."""
NEAR = 500
"""Records that the log may have got meanwhile when a rebuild is called caught up."""
TAKE_OVER_S = 30.0
MOVE_S = 15.0
_POLL_S = 0.1


def check_name(name: str) -> None:
    """Raises Fault for a read model that there is not; says what goes together."""
    if name not in NAMES:
        raise Fault(f"there is no read model {name}", f"it is one of {', '.join(NAMES)}: they are folded together", 2)
    rest = " and ".join(other for other in NAMES if other != name)
    remarks().print(f"{name} is folded together with {rest}: a generation holds all of them", style="dim")


def run(settings: Settings, work: Callable[[Estate], Awaitable[bool]]) -> bool:
    """Do something with the installation; whether all is well. Raises Fault and what the installation raises."""

    async def main() -> bool:
        async with opened(settings) as estate:
            return await work(estate)

    try:
        return asyncio.run(main())
    except Busy as error:
        raise Fault(str(error), "wait for its end, or stop it: the next rebuild goes on where it was") from error
    except NoViews as error:
        raise Fault(str(error), "tidings serve folds them from the log") from error


# --- making ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rebuilt:
    generation: int
    events: int
    seconds: float
    peak_mib: float

    @property
    def events_per_s(self) -> float:
        return self.events / max(self.seconds, 1e-9)


async def rebuild(estate: Estate, settings: Settings, workers: int, as_json: bool) -> bool:
    """Fill the next generation, or go on with one that was interrupted, and give it to whoever serves."""
    async with estate.alone():
        registered = await estate.registry.read()
        building = registered.building
        if building is None:
            building = Generation(registered.last + 1, "building")
            await estate.registry.put(building)
        else:
            remarks().print(f"going on with generation {building.number}")
        try:
            rebuilt = await _fill(estate, settings, building.number, workers)
        except (KeyboardInterrupt, asyncio.CancelledError):
            remarks().print(
                f"generation {building.number} is not finished: the same command goes on where it is, "
                f"tidings projections drop {building.number} removes it"
            )
            raise
        ends = estate.log.ends()
        await estate.registry.put(replace(building, state="followed"))
        await _taken_over(estate, building.number, ends)
    if as_json:
        print(json.dumps(asdict(rebuilt) | {"events_per_s": round(rebuilt.events_per_s)}))
    else:
        print(
            f"generation {rebuilt.generation}: {rebuilt.events} events in {rebuilt.seconds:.1f} s, "
            f"{rebuilt.events_per_s:,.0f} events/s, {rebuilt.peak_mib:.0f} MiB of memory at most"
        )
        remarks().print("next: tidings projections verify, then tidings projections switch")
    return True


async def _fill(estate: Estate, settings: Settings, number: int, workers: int) -> Rebuilt:
    from infra.estate.filling import fill

    began = time.monotonic()
    with progress() as bars:
        task = bars.add_task(f"Folding generation {number}", total=None)

        def report(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        filled = await fill(estate, settings, number, workers, report, near=NEAR)
    return Rebuilt(number, filled.events, round(time.monotonic() - began, 3), filled.peak_mib)


async def _taken_over(estate: Estate, number: int, ends: dict[int, int]) -> None:
    """Wait until whoever serves has folded on to the log's end as of the handing over."""
    if not await estate.is_served():
        remarks().print("nobody serves right now: who starts next goes on folding this generation")
        return
    views = await estate.views(number)
    until = time.monotonic() + TAKE_OVER_S
    while _behind(await views.positions(), ends):
        if time.monotonic() > until:
            raise Fault(
                f"generation {number} is caught up, but nobody goes on folding it",
                "look into the log of the server or the workers; tidings projections lag shows where it stands",
            )
        await asyncio.sleep(_POLL_S)


def _behind(positions: dict[int, int], ends: dict[int, int]) -> int:
    return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())


# --- comparing ---------------------------------------------------------------------------------------------------


async def verify(estate: Estate, generation: int | None, as_json: bool) -> bool:
    """Compare a generation with the served one, and note what came out for `switch`."""
    registered = await estate.registry.read()
    number = candidate(registered, generation)
    lag = _behind(await (await estate.views(number)).positions(), estate.log.ends())
    if registered.generations[number].state == "building":
        raise Fault(f"generation {number} is still being built", "finish it: tidings projections rebuild")
    compared = await _compare(estate, registered.served, number)
    _tell_comparison(registered.served, number, compared, lag, as_json)
    return compared.verdict == "same"


async def _compare(estate: Estate, served: int, number: int) -> Comparison:
    """Compare, and note what came out."""
    one, other, discards = await estate.views(served), await estate.views(number), await estate.discards()
    with progress() as bars:
        task = bars.add_task(f"Comparing generations {served} and {number}", total=None)
        compared = await Comparer(one, other, estate.log, discards).run(lambda chats: bars.advance(task, chats))
    # Read again: somebody may have paused it meanwhile.
    now = (await estate.registry.read()).generations.get(number)
    if now is not None:
        await estate.registry.put(replace(now, verdict=compared.verdict))
    return compared


def _tell_comparison(served: int, number: int, compared: Comparison, lag: int, as_json: bool) -> None:
    if as_json:
        told = {"served": served, "generation": number, "verdict": compared.verdict, "lag": lag}
        told |= {"chats": compared.chats, "entries": compared.entries, "differing": compared.differing}
        print(json.dumps(told | {"differences": [asdict(each) for each in compared.differences]}))
        return
    print(
        f"generation {number} against {served}: {compared.chats} chats, {compared.entries} numbered events, "
        + ("the same" if compared.verdict == "same" else f"{compared.differing} chats DIFFERENT")
    )
    for each in compared.differences:
        at = "" if each.seq is None else f" seq {each.seq}"
        print(f"chat {each.chat_id}{at}: {each.what}\n  served:  {each.served}\n  rebuilt: {each.rebuilt}")
    if compared.renumbered:
        print("clients know some of these numbers as other events: this generation cannot be served")


def candidate(registered: Registered, generation: int | None) -> int:
    """The generation that a command means where none is named: the newest besides the served one. Raises Fault."""
    others = [number for number in registered.generations if number != registered.served]
    if generation is None and others:
        return max(others)
    if generation is None:
        raise Fault("there is only the served generation", "make another: tidings projections rebuild")
    if generation == registered.served:
        raise Fault(f"generation {generation} is the served one", "name another; tidings projections list shows them")
    if generation not in registered.generations:
        raise Fault(f"there is no generation {generation}", "tidings projections list shows them")
    return generation


# --- exchanging --------------------------------------------------------------------------------------------------


async def switch(estate: Estate, generation: int | None, accept_differences: bool) -> bool:
    """Have all readers use another generation, once it was compared, and is compared again: since then the log went on,
    another fold may have been deployed, and another generation may be served."""
    registered = await estate.registry.read()
    number = candidate(registered, generation)
    if registered.generations[number].verdict == "":
        raise Fault(f"generation {number} was never compared", "tidings projections verify does it")
    _check_verdict(number, registered.generations[number].verdict, accept_differences)
    _check_folded(registered, number)
    compared = await _compare(estate, registered.served, number)
    _check_verdict(number, compared.verdict, accept_differences)
    return await _serve(estate, number)


def _check_verdict(number: int, verdict: str, accept_differences: bool) -> None:
    """Raises Fault."""
    match verdict:
        case "renumbered":
            raise Fault(
                f"in generation {number} numbers that clients know name other events",
                "it is never served; mend the fold, drop it and rebuild",
            )
        case "different" if not accept_differences:
            raise Fault(
                f"generation {number} differs from the served one",
                "look at the differences with tidings projections verify; if they are meant, --accept-differences",
            )


async def rollback(estate: Estate) -> bool:
    """Back to the generation that was served before. It may differ, which is what one goes back for; but not in what a
    number means, for clients know the numbers of the served one."""
    registered = await estate.registry.read()
    number = registered.previous
    if number is None or number not in registered.generations:
        raise Fault("no other generation was served before, or it was dropped", "tidings projections list shows them")
    _check_folded(registered, number)
    compared = await _compare(estate, registered.served, number)
    _check_verdict(number, compared.verdict, accept_differences=True)
    if compared.verdict != "same":
        remarks().print(f"generation {number} differs in {compared.differing} of {compared.chats} chats")
    return await _serve(estate, number)


def _check_folded(registered: Registered, number: int) -> None:
    """Raises Fault."""
    generation = registered.generations[number]
    if generation.paused or generation.state != "followed":
        raise Fault(f"generation {number} is not folded", f"tidings projections resume {number}, or rebuild")


async def _serve(estate: Estate, number: int) -> bool:
    _check_folded(await estate.registry.read(), number)
    await estate.registry.serve(number)
    until = time.monotonic() + MOVE_S
    while (readers := await estate.registry.readers()) and set(readers.values()) != {number}:
        if time.monotonic() > until:
            late = ", ".join(name for name, uses in readers.items() if uses != number)
            raise Fault(f"generation {number} is to be served, but {late} did not follow yet", "look into its log")
        await asyncio.sleep(_POLL_S)
    print(f"generation {number} is served" + (f" by {len(readers)}" if readers else "; nobody runs right now"))
    return True


async def drop(estate: Estate, number: int) -> bool:
    """Remove a generation that nobody reads."""
    candidate(await estate.registry.read(), number)
    try:
        async with estate.alone():
            await estate.registry.remove(number)
    except ServedGeneration as error:
        raise Fault(str(error), "switch to another first") from error
    print(f"generation {number} is dropped")
    return True


async def reset(estate: Estate, number: int) -> bool:
    """Drop a generation, and have the next rebuild begin with a new one from the log's beginning."""
    await drop(estate, number)
    registered = await estate.registry.read()
    await estate.registry.put(Generation(registered.last + 1, "building"))
    remarks().print("tidings projections rebuild folds it")
    return True


async def pause(estate: Estate, number: int, paused: bool) -> bool:
    """Whether a generation is folded for now."""
    registered = await estate.registry.read()
    generation = registered.generations.get(number)
    if generation is None:
        raise Fault(f"there is no generation {number}", "tidings projections list shows them")
    if paused and number == registered.served:
        raise Fault(f"generation {number} is served: readers would see nothing new", "switch to another one first")
    await estate.registry.put(replace(generation, paused=paused))
    print(f"generation {number} is {'paused' if paused else 'folded again'}")
    return True


# --- looking -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a generation is behind in a partition: records, and how long ago the oldest of them was appended."""

    generation: int
    partition: int
    position: int
    end: int
    lag_events: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class GenerationStanding:
    generation: int
    state: str
    """`served`, else as in the registry; `paused` beats both."""
    verdict: str
    lag_events: int
    lag_seconds: float
    parked_chats: int


async def lags(estate: Estate, now_s: float) -> list[PartitionLag]:
    """Of every generation that has something. `now_s`: seconds since 1970. Raises Unavailable."""
    found = []
    for number in sorted((await estate.registry.read()).generations):
        views = await _views_or_none(estate, number)
        positions = {} if views is None else await views.positions()
        # After the positions: the log may only have grown meanwhile.
        for partition, end in sorted(estate.log.ends().items()):
            position = positions.get(partition, 0)
            behind = max(0, end - position)
            oldest = estate.log.records(partition, position, 1) if behind else []
            late_s = max(0.0, now_s - oldest[0].timestamp_ms / 1000) if oldest else 0.0
            found.append(PartitionLag(number, partition, position, end, behind, round(late_s, 3)))
    return found


async def standings(estate: Estate, now_s: float) -> list[GenerationStanding]:
    """All generations. Raises Unavailable."""
    registered = await estate.registry.read()
    by_partition = await lags(estate, now_s)
    found = []
    for number, generation in sorted(registered.generations.items()):
        own = [each for each in by_partition if each.generation == number]
        views = await _views_or_none(estate, number)
        parked = 0 if views is None else len(await views.parked_chats())
        state: str = "served" if number == registered.served else generation.state
        found.append(
            GenerationStanding(
                number,
                f"{state}, paused" if generation.paused else state,
                generation.verdict,
                sum(each.lag_events for each in own),
                max((each.lag_seconds for each in own), default=0.0),
                parked,
            )
        )
    return found


def show_positions(found: list[PartitionLag], as_json: bool) -> bool:
    """Generation and position on a line each, or as NDJSON."""
    for each in found:
        position = f"{each.partition}:{each.position}"
        told = {"generation": each.generation, "position": position}
        print(json.dumps(told) if as_json else f"{each.generation} {position}")
    return True


async def show(rows: list[Any], as_json: bool) -> bool:
    """Rows of one dataclass as a table, or as NDJSON."""
    told = [asdict(row) for row in rows]
    if as_json:
        for each in told:
            print(json.dumps(each))
        return True
    table = Table(box=None, pad_edge=False)
    for name in told[0] if told else ():
        table.add_column(name.replace("_", " "), justify="right" if isinstance(told[0][name], int | float) else "left")
    for each in told:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in each.values()))
    answers().print(table)
    sys.stdout.flush()
    return True


async def _views_or_none(estate: Estate, number: int) -> InspectedViews | None:
    try:
        return await estate.views(number)
    except NoViews:
        return None
