"""What stops a command is told in one line with its mend; a defect keeps its traceback."""

from pathlib import Path

import pytest
import typer

from commands.errors import Corrupt, Unavailable
from infra.cli.faults import INTERRUPTED, Fault, told
from infra.settings import BadSettings
from infra.sqlite.database import DataDirectoryInUse
from projections.ports import LogMismatch
from streams.log_reader import NoLog


@pytest.mark.parametrize(
    ("error", "says", "status"),
    [
        (Fault("it rains", "take an umbrella", 7), "it rains; take an umbrella", 7),
        (DataDirectoryInUse("data is served by process 42"), "by process 42; stop that one", 1),
        (LogMismatch("views-1.db stands at 0:9"), "remove the views-*.db files", 1),
        (NoLog("there is no log in data"), "TIDINGS_DATA", 1),
        (Corrupt("master.key is missing: put it back"), "master.key is missing: put it back", 1),
        (BadSettings("TIDINGS_PORT: too big"), "bad settings: TIDINGS_PORT: too big", 2),
        (Unavailable("the database answers: disk full"), "disk full", 1),
        (PermissionError(13, "Permission denied", "/srv/data"), "/srv/data: Permission denied", 1),
    ],
)
def test_an_error_that_can_be_mended_is_one_line(
    error: Exception, says: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, told():
        raise error
    assert ended.value.exit_code == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tidings: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a defect"), OSError("without a file"), KeyError("x")])
def test_a_defect_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), told():
        raise error


def test_an_interruption_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, told():
        raise KeyboardInterrupt
    assert ended.value.exit_code == INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_leaving_with_a_status_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, told():
        raise typer.Exit(3)
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err == ""


def test_paths_are_told_as_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), told():
        raise NotADirectoryError(20, "Not a directory", Path("my data"))
    assert "my data: Not a directory" in capsys.readouterr().err
