"""`tidings cluster`: a cluster on this machine, without containers. Nothing but Typer is imported until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.faults import told

cluster = typer.Typer(
    help="A whole cluster on this machine, without containers.", no_args_is_help=True, rich_markup_mode=None
)

Folder = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="TIDINGS_CLUSTER", help="The cluster's folder.", show_envvar=True),
]
DEFAULT = Path("data/cluster")
Name = Annotated[str, typer.Argument(metavar="NAME", help="A service, as `status` names it.")]


@cluster.command()
def up(
    gateways: Annotated[int | None, typer.Option(min=1, max=32, help="How many gateways.  [default: 2]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=32, help="How many workers.  [default: 2]")] = None,
    kafka: Annotated[int | None, typer.Option(help="How many brokers, 1 or 3.  [default: 1]")] = None,
    cassandra: Annotated[int | None, typer.Option(help="How many nodes, 1 or 3.  [default: 1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Where people connect.  [default: any free one, kept]")
    ] = None,
    folder: Folder = DEFAULT,
) -> None:
    """Start the cluster, or what is missing of it, and leave it running.

    Prints the address once everything is ready. Numbers that are not given stay as they were.
    """
    with told():
        from infra.cli.cluster.up import up as run

        run(folder, {"gateways": gateways, "workers": workers, "kafka": kafka, "cassandra": cassandra}, port)


@cluster.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False, folder: Folder = DEFAULT
) -> None:
    """Show each service's state, pid and ports."""
    with told():
        from infra.cli.cluster.status import status as run

        run(folder, as_json)


@cluster.command()
def env(folder: Folder = DEFAULT) -> None:
    """Print settings that lead other commands to the cluster: eval "$(tidings cluster env)"."""
    with told():
        from infra.cli.cluster.status import env as run

        run(folder)


@cluster.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 100,
    folder: Folder = DEFAULT,
) -> None:
    """Print what a service said."""
    with told():
        from infra.cli.cluster.one import logs as run

        run(folder, name, lines, follow)


@cluster.command()
def start(name: Name, folder: Folder = DEFAULT) -> None:
    """Start a service and wait until it is ready. No error if it runs."""
    with told():
        from infra.cli.cluster.one import start as run

        run(folder, name)


@cluster.command()
def stop(name: Name, folder: Folder = DEFAULT) -> None:
    """End a service in its own good order."""
    with told():
        from infra.cli.cluster.one import stop as run

        run(folder, name)


@cluster.command()
def kill(name: Name, folder: Folder = DEFAULT) -> None:
    """kill -9 a service: what a crash does."""
    with told():
        from infra.cli.cluster.one import kill as run

        run(folder, name)


@cluster.command()
def drain(name: Annotated[str, typer.Argument(metavar="GATEWAY", help="A gateway.")], folder: Folder = DEFAULT) -> None:
    """Send nobody to a gateway any more, move its clients to the others, and end it. `start` brings it back."""
    with told():
        from infra.cli.cluster.one import drain as run

        run(folder, name)


@cluster.command()
def down(
    erase: Annotated[bool, typer.Option("--erase", help="Remove all data too, for good.")] = False,
    folder: Folder = DEFAULT,
) -> None:
    """Stop all services. Their data stays, and the next `up` goes on with it."""
    with told():
        from infra.cli.cluster.down import down as run

        run(folder, erase)
