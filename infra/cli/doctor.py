"""`tidings doctor`: what is set up, what is missing, and how to mend it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.cli.checks import Check
from infra.masking import masked
from infra.settings import BadSettings, Settings, load_settings

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def examine(overrides: dict[str, Any]) -> list[Check]:
    """All checks, in the order in which things depend on each other."""
    from infra.cli.checks import data, machine

    found = [machine.python(), machine.packages()]
    try:
        settings = load_settings(overrides)
    except BadSettings as error:
        return [
            *found,
            *(Check("settings", "fail", f"{e.field}: {e.message}", f"set {e.field} right") for e in error.errors),
        ]
    if settings.kafka:
        return [*found, *_of_a_cluster(settings), *machine.programs()]
    folder: Path = settings.data
    place = data.directory(folder)
    found.append(place)
    if place.state != "fail":  # else nothing in it can be looked at
        found += [data.private(folder), data.space(folder), machine.sqlite(folder), data.server(folder)]
        found += data.secrets(settings)
        found.append(data.accounts(settings))
        found += data.log_and_views(folder, datetime.now(UTC), accounts_elsewhere=settings.accounts_url is not None)
        found += data.others(folder)
        found.append(machine.port(settings.host, settings.port, folder))
    return found + machine.programs()


def _of_a_cluster(settings: Settings) -> list[Check]:
    from infra.cli.checks import cluster, data

    found = cluster.settings_of(settings) + cluster.services(settings)
    return [*found, data.accounts(settings)] if settings.accounts_url else found


def show(found: list[Check], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(check) for check in found], indent=2))
    elif sys.stdout.isatty():
        _table(found)
    else:
        for check in found:
            mend = f"  -> {check.mend}" if check.mend else ""
            print(f"{check.state:<5} {check.name:<11} {check.found}{mend}")


def _table(found: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from infra.cli.console import answers

    table = Table(box=None, pad_edge=False)
    for column in ("", "", "found", "to mend it"):
        table.add_column(column, overflow="fold")
    for check in found:
        table.add_row(Text(check.state, _STYLE[check.state]), check.name, Text(check.found), Text(check.mend))
    answers().print(table)


def run(overrides: dict[str, Any], as_json: bool) -> bool:
    """The whole command; whether nothing failed."""
    found = [
        replace(check, found=masked(" ".join(check.found.split())), mend=masked(check.mend))
        for check in examine(overrides)
    ]
    show(found, as_json)
    return all(check.state != "fail" for check in found)


def _one_line(check: Check) -> Check:
    return replace(check, found=masked(" ".join(check.found.split())), mend=masked(check.mend))
