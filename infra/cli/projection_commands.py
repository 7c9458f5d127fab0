"""`tidings projections …`: generations of the read models. Nothing but Typer is imported until a command runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.cli.faults import told
from infra.cli.options import Data, Json, settings_of

projections = typer.Typer(
    help="Look after the read models: rebuild, compare, exchange.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="A read model, such as timeline: not needed, as one fold makes all of them.",
        show_default=False,
    ),
]
GenerationOption = Annotated[
    int | None,
    typer.Option(
        "--generation", metavar="N", help="Which one.  [default: the newest besides the served]", show_default=False
    ),
]
GenerationArgument = Annotated[int, typer.Argument(metavar="GENERATION")]


@projections.command()
def rebuild(
    name: Name = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; each folds some partitions.")] = 1,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Fold the whole log into the next generation of the read models, beside the served one, while chat goes on.

    Returns once it is caught up; whoever serves follows the log with it from then on. Interrupted, the same command
    goes on where it was.
    """
    with told():
        from infra.cli import generations

        settings = settings_of(data)
        if name is not None:
            generations.check_name(name)
        generations.run(settings, lambda estate: generations.rebuild(estate, settings, workers, as_json))


@projections.command()
def verify(generation: GenerationOption = None, as_json: Json = False, data: Data = None) -> None:
    """Compare a generation with the served one, chat by chat, while both are folded. Exit status 1 if they differ."""
    with told():
        from infra.cli import generations

        _ended(generations.run(settings_of(data), lambda estate: generations.verify(estate, generation, as_json)))


@projections.command()
def switch(
    generation: GenerationOption = None,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="The fold was changed on purpose, and verify shows just that.")
    ] = False,
    data: Data = None,
) -> None:
    """Have all readers use another generation, at once and without a gap. It must have been compared."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), lambda estate: generations.switch(estate, generation, accept_differences))


@projections.command()
def rollback(data: Data = None) -> None:
    """Have all readers use the generation again that was served before the last switch."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), generations.rollback)


@projections.command()
def drop(generation: GenerationArgument, data: Data = None) -> None:
    """Remove a generation that is not served."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), lambda estate: generations.drop(estate, generation))


@projections.command()
def reset(generation: GenerationArgument, data: Data = None) -> None:
    """Drop a generation that is not served; the next rebuild begins a new one from the log's beginning."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), lambda estate: generations.reset(estate, generation))


@projections.command()
def pause(generation: GenerationArgument, data: Data = None) -> None:
    """Stop folding a generation for now."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), lambda estate: generations.pause(estate, generation, True))


@projections.command()
def resume(generation: GenerationArgument, data: Data = None) -> None:
    """Go on folding a generation that was paused."""
    with told():
        from infra.cli import generations

        generations.run(settings_of(data), lambda estate: generations.pause(estate, generation, False))


@projections.command("list")
def list_generations(as_json: Json = False, data: Data = None) -> None:
    """Show all generations of the read models, and how far each is."""
    with told():
        import time

        from infra.cli import generations

        async def work(estate: Any) -> bool:
            return await generations.show(await generations.standings(estate, time.time()), as_json)

        generations.run(settings_of(data), work)


@projections.command()
def lag(as_json: Json = False, data: Data = None) -> None:
    """Show how far each generation is behind the log, in events and in seconds, partition by partition."""
    with told():
        import time

        from infra.cli import generations

        async def work(estate: Any) -> bool:
            return await generations.show(await generations.lags(estate, time.time()), as_json)

        generations.run(settings_of(data), work)


@projections.command()
def positions(as_json: Json = False, data: Data = None) -> None:
    """Print where each generation stands, as P:O (partition and offset)."""
    with told():
        import time

        from infra.cli import generations

        async def work(estate: Any) -> bool:
            return generations.show_positions(await generations.lags(estate, time.time()), as_json)

        generations.run(settings_of(data), work)


@projections.command("hash")
def hash_views(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Fold the whole log again, beside the server, and compare.")
    ] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Print the SHA-256 over all rows of the served read models. Exit status 1 if a rebuild gives another."""
    with told():
        from infra.cli.hashing import run

        if not run(settings_of(data).data, rebuild, as_json):
            raise typer.Exit(1)


def _ended(is_right: bool) -> None:
    if not is_right:
        raise typer.Exit(1)
