"""Every command explains itself."""

import pytest
import typer
from typer.testing import CliRunner

from infra.cli.app import app

COMMANDS = (
    "at",
    "models",
    "models fold",
    "models show",
    "sql",
    "stats",
    "repair",
    "backup",
    "restore",
    "serve",
    "gateway",
    "worker",
    "doctor",
    "events",
    "events cat",
    "events export",
    "events replay",
    "events tail",
    "audit",
    "dead-letters",
    "dead-letters list",
    "dead-letters show",
    "dead-letters retry",
    "dead-letters discard",
    "projections",
    "projections hash",
    "projections drop",
    "projections lag",
    "projections list",
    "projections pause",
    "projections positions",
    "projections rebuild",
    "projections reset",
    "projections resume",
    "projections rollback",
    "projections switch",
    "projections verify",
    "push",
    "push log",
    "push test",
    "admin",
    "admin destroyed",
    "admin grant",
    "admin reveals",
    "admin revoke",
    "admin users",
    "cluster",
    "cluster up",
    "cluster status",
    "cluster env",
    "cluster logs",
    "cluster start",
    "cluster stop",
    "cluster kill",
    "cluster drain",
    "cluster down",
    "demo",
    "version",
)


def paths(group: typer.Typer, prefix: str = "") -> list[str]:
    """Every command and group under `group`, by its whole name."""
    found = []
    for command in group.registered_commands:
        assert command.callback is not None
        found.append(prefix + (command.name or command.callback.__name__))
    for sub in group.registered_groups:
        assert sub.typer_instance is not None
        found += [f"{prefix}{sub.name}", *paths(sub.typer_instance, f"{prefix}{sub.name} ")]
    return found


def test_this_list_has_them_all() -> None:
    assert sorted(paths(app)) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_it_does(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="tidings", terminal_width=100)
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: tidings {command}".rstrip())
    explanation = result.output.partition("\n\n")[2].partition("\n\n")[0]
    assert explanation.startswith("  ")
    assert explanation.endswith(".")


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["tial"])
    assert result.exit_code == 2
    assert "No such command 'tial'" in result.output
