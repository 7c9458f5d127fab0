"""What operators have done is what the command line does."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import typer

from api.operations import Action
from infra.cli.app import app
from infra.operations.jobs import arguments


@pytest.mark.parametrize("action", sorted(set(get_args(Action)) - {"retry"}))
def test_every_action_is_a_command_that_there_is(action: Action) -> None:
    command: Any = typer.main.get_command(app)
    rest = arguments(action, "2", accept_differences=True)
    while hasattr(command, "commands"):
        name, *rest = rest
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    made = command.make_context(action, rest)
    assert made.params
