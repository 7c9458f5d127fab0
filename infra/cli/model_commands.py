"""`tidings models …`: read models of one's own. Nothing but Typer is imported until a command runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.cli.faults import Fault, told
from infra.cli.options import Data, settings_of

models = typer.Typer(help="Read models of one's own.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As it is registered in projections/models.")]


@models.command()
def fold(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as the log grows, until Ctrl-C.")] = False,
    data: Data = None,
) -> None:
    """Fold a read model: from the log's beginning, or on from where it was, beside the server.

    What it tells is muted until it has passed the log's end as of now. It can be stopped at any point.
    """
    with told():
        import time
        from contextlib import closing

        from infra.cli.console import progress
        from infra.log_readers import open_log_reader
        from streams.models import ModelRunner

        settings = settings_of(data)
        model = _model(name)
        with closing(open_log_reader(settings)) as reader, closing(_store(settings, model, reader)) as store:
            runner = ModelRunner(reader, model, store, lambda line: print(line, flush=True))
            with progress() as bars:
                ends = sum(reader.ends().values())
                task = bars.add_task(f"Folding {name}", total=ends, completed=sum(store.positions().values()))
                for count in runner.catch_up():
                    bars.advance(task, count)
            while follow:
                for _ in runner.catch_up():
                    pass
                time.sleep(0.2)


@models.command()
def show(name: Name, data: Data = None) -> None:
    """Print what a read model has found, as NDJSON."""
    with told():
        import json
        from contextlib import closing

        from infra.log_readers import open_log_reader

        settings = settings_of(data)
        model = _model(name)
        with closing(open_log_reader(settings)) as reader, closing(_store(settings, model, reader)) as store:
            for row in model.summary(store.rows()):
                print(json.dumps(row, ensure_ascii=False))


def _model(name: str) -> Any:
    from projections.models import REGISTERED

    for model in REGISTERED:
        if model.name == name:
            return model
    raise Fault(f"there is no read model {name}", f"it is one of {', '.join(each.name for each in REGISTERED)}", 2)


def _store(settings: Any, model: Any, reader: Any) -> Any:
    from infra.private import private_folder
    from infra.sqlite.model_store import SqliteModelStore

    private_folder(settings.data)
    return SqliteModelStore(settings.data / f"model-{model.name}-{model.version}.db", reader.incarnation)
