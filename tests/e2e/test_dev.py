"""`./dev` sets up once, whatever interrupts it, and keeps stdout for the command that it runs.

The script is the real one; Python, uv and the programs in .venv are stand-ins that note how they were called.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "bash sh env cat cksum cp head mv rm mkdir dirname basename find sort sed tr flock"

# A Python of the version that the name promises. It makes environments, notes what runs, and can be told to fail.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") exec make-environment "$3" ;;
"-m "*) echo "$@" >>"$CALLS"; exec installer "$@" ;;
*) exec {executable} -c 'import sys; sys.version_info = ({version}, 0, "final", 0); exec(sys.argv.pop(1))' "$2" ;;
esac
"""
UV = """#!/bin/sh
case "$1" in
venv) for last; do :; done; exec make-environment "$last" ;;
*) echo "uv $@" >>"$CALLS"; exec installer "$@" ;;
esac
"""
MAKE_ENVIRONMENT = """#!/bin/sh
echo "venv" >>"$CALLS"
mkdir -p "$1/bin" && cp "$STANDINS/python3.11" "$1/bin/python" && cp "$STANDINS/tidings" "$1/bin/tidings"
"""
INSTALLER = """#!/bin/sh
if [ -p "$GATE" ]; then read -r _ <"$GATE"; fi
case "$*" in
*${FAILS_ON:-nothing}*) echo "no luck" >&2; exit 1 ;;
*${KILLED_ON:-nothing}*) kill -9 0 ;;
*"pip install"*) echo "installing noisily" ;;
esac
"""
TIDINGS = """#!/bin/sh
if [ -p "$DOOR" ]; then read -r _ <"$DOOR"; fi
echo "tidings $*"
echo "in $(pwd)"
exit 3
"""


class Machine:
    """A clone of the project on a machine that has only the programs given to it."""

    def __init__(self, base: Path) -> None:
        self.base, self.project, self.bin = base, base / "project", base / "bin"
        self.calls, self.gate, self.door = base / "calls", base / "gate", base / "door"
        self.standins = base / "standins"
        for folder in (self.project, self.bin, self.standins):
            folder.mkdir()
        shutil.copy(ROOT / "dev", self.project)
        (self.project / "pyproject.toml").write_text("[project]\n")
        (self.project / "requirements.lock").write_text("one==1\n")
        for tool in TOOLS.split():
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)
        self.program("make-environment", MAKE_ENVIRONMENT)
        self.program("installer", INSTALLER)
        self.program("tidings", TIDINGS, self.standins)
        self.python("python3.11", "3, 11", self.standins)

    def program(self, name: str, source: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.write_text(source)
        path.chmod(0o755)

    def python(self, name: str, version: str, folder: Path | None = None) -> None:
        self.program(name, PYTHON.format(executable=sys.executable, version=version), folder)

    def start(self, *args: str, **env: str) -> "subprocess.Popen[str]":
        names = {"CALLS": self.calls, "GATE": self.gate, "DOOR": self.door, "STANDINS": self.standins}
        return subprocess.Popen(
            [str(self.project / "dev"), *args],
            cwd=self.base,
            env={"PATH": str(self.bin), "HOME": str(self.base), **{k: str(v) for k, v in names.items()}, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def called(self) -> list[str]:
        """Return what was called since the last time, in order."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines

    def mark(self) -> Path:
        """Leave a file in the environment that only a rebuild removes."""
        mark = self.project / ".venv/mark"
        mark.touch()
        return mark


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with Python 3.12 and no uv."""
    machine = Machine(tmp_path)
    machine.python("python3", "3, 12")
    return machine


@pytest.fixture(params=["pip", "uv"])
def either(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """The same, once without uv and once with it."""
    if request.param == "uv":
        machine.program("uv", UV)
    return machine


def test_the_first_command_sets_up_and_stdout_is_the_commands_alone(either: Machine) -> None:
    first = either.run("tidings", "events", "tail", "a b")
    assert first.stdout == f"tidings events tail a b\nin {either.base}\n"
    assert first.returncode == 3
    assert "Setting up .venv" in first.stderr
    venv, pinned, project = either.called()
    assert venv == "venv"
    assert "--no-deps" in pinned
    assert "--require-hashes -r" in pinned
    assert "--no-deps" in project
    assert "--no-build-isolation --editable" in project


def test_the_next_command_sets_up_nothing(either: Machine) -> None:
    either.run("setup")
    either.called()
    again = either.run("tidings")
    assert (again.stderr, either.called()) == ("", [])


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_dependencies_are_installed_in_place(either: Machine, name: str) -> None:
    either.run("setup")
    either.called()
    mark = either.mark()
    (either.project / name).write_text("changed\n")
    assert either.run("setup").returncode == 0
    assert len(either.called()) == 2 + (not (either.bin / "uv").exists())
    assert mark.exists()
    assert either.run("setup").stderr == ""


@pytest.mark.parametrize("step", ["--require-hashes", "--editable"])
def test_a_set_up_that_was_killed_is_done_afresh(either: Machine, step: str) -> None:
    assert either.run("tidings", KILLED_ON=step).returncode == -signal.SIGKILL
    mark = either.mark()
    assert either.run("tidings").stdout.startswith("tidings")
    assert not mark.exists()


def test_an_update_that_was_killed_is_done_afresh(either: Machine) -> None:
    either.run("setup")
    mark = either.mark()
    (either.project / "requirements.lock").write_text("changed\n")
    either.run("setup", KILLED_ON="--require-hashes")
    assert either.run("tidings").returncode == 3
    assert not mark.exists()


@pytest.mark.parametrize("step", ["--require-hashes", "--editable"])
def test_a_set_up_that_fails_says_so_and_runs_nothing(either: Machine, step: str) -> None:
    failed = either.run("tidings", FAILS_ON=step)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "no luck" in failed.stderr
    assert "installing the dependencies failed" in failed.stderr
    assert either.run("tidings").returncode == 3


@pytest.mark.timeout(60)
@pytest.mark.parametrize("locks_with", ["flock", "python"])
def test_two_at_the_same_time_set_up_once(either: Machine, locks_with: str) -> None:
    if locks_with == "python":
        (either.bin / "flock").unlink()
    os.mkfifo(either.gate)
    first = either.start("setup")
    with either.gate.open("w") as gate:  # opens when the first one's installer reads it
        second = either.start("setup")
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        either.gate.unlink()
        gate.write("go\n")
    assert "Set up in" in first.communicate(timeout=60)[1]
    assert second.communicate(timeout=60) == ("", "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert either.called().count("venv") == 1


@pytest.mark.timeout(60)
def test_a_running_server_does_not_keep_others_from_setting_up(machine: Machine) -> None:
    os.mkfifo(machine.door)
    server = machine.start("run")
    with machine.door.open("w") as door:
        (machine.project / "requirements.lock").write_text("changed\n")
        assert machine.run("setup").returncode == 0
        door.write("leave\n")
    assert server.communicate(timeout=60)[0].startswith("tidings serve")


def test_a_moved_project_gets_a_new_environment(either: Machine) -> None:
    either.run("setup")
    either.mark()
    either.project = either.project.rename(either.base / "moved here")
    assert either.run("tidings").returncode == 3
    assert not (either.project / ".venv/mark").exists()


def test_an_environment_of_the_wrong_python_is_rebuilt(either: Machine) -> None:
    either.run("setup")
    mark = either.mark()
    either.python("python", "3, 10", either.project / ".venv/bin")
    (either.project / "requirements.lock").write_text("changed\n")
    assert either.run("tidings").returncode == 3
    assert not mark.exists()


def test_an_environment_whose_python_is_gone_is_rebuilt(either: Machine) -> None:
    either.run("setup")
    (either.project / ".venv/bin/python").unlink()
    assert either.run("tidings").returncode == 3


def test_an_environment_made_by_hand_is_kept_and_brought_up_to_date(either: Machine) -> None:
    either.run("setup")
    (either.project / ".venv/.set-up").unlink()
    mark = either.mark()
    assert either.run("tidings").returncode == 3
    assert mark.exists()


def test_naming_another_python_rebuilds_with_it(machine: Machine) -> None:
    machine.run("setup")
    machine.called()
    assert machine.run("setup", TIDINGS_PYTHON="python3").returncode == 0
    assert machine.called()[0] == "venv"  # the environment's stand-in is 3.11, the one named is 3.12


def test_a_python_that_cannot_run_is_passed_over(machine: Machine) -> None:
    machine.program("python3", "#!/bin/sh\necho 'python3: command not found' >&2\nexit 127\n")
    machine.python("python3.13", "3, 9")
    machine.python("python3.12", "3, 12")
    setting_up = machine.run("setup")
    assert setting_up.returncode == 0
    assert f"{machine.bin}/python3.12" in setting_up.stderr


@pytest.mark.parametrize("version", ["3, 10", "3, 14", None])
def test_without_a_suitable_python_it_says_what_to_install(machine: Machine, version: str | None) -> None:
    if version is None:
        (machine.bin / "python3").unlink()
    else:
        machine.python("python3", version)
    refused = machine.run("run")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "needs Python 3.11, 3.12 or 3.13" in refused.stderr
    assert "apt-get install python3 python3-venv" in refused.stderr
    assert not (machine.project / ".venv").exists()


def test_a_named_python_of_the_wrong_version_is_refused(machine: Machine) -> None:
    refused = machine.run("setup", TIDINGS_PYTHON="no-such-python")
    assert refused.returncode == 1
    assert "TIDINGS_PYTHON=no-such-python is not a Python of version 3.11 to 3.13" in refused.stderr


def test_without_the_venv_module_it_says_which_package_has_it(machine: Machine) -> None:
    whole = (machine.bin / "python3").read_text()
    lacking = whole.replace('case "$1 $2" in', 'case "$1 $2" in\n*ensurepip*) exit 1 ;;')
    machine.program("python3", lacking)
    refused = machine.run("setup")
    assert refused.returncode == 1
    assert "sudo apt-get install python3.12-venv" in refused.stderr


def test_run_serves_the_demo_with_the_flags_given(machine: Machine) -> None:
    served = machine.run("run", "--port", "0", "--data", "my data")
    assert served.stdout.splitlines()[0] == "tidings serve --demo --open --port 0 --data my data"


def test_the_cluster_is_the_same_from_wherever_it_is_named(machine: Machine) -> None:
    machine.program("tidings", TIDINGS.replace("in $(pwd)", "in $TIDINGS_CLUSTER"), machine.standins)
    ours = machine.run("cluster", "logs", "-f", "a b")
    assert ours.stdout == f"tidings cluster logs -f a b\nin {machine.project}/data/cluster\n"
    assert ours.returncode == 3
    assert machine.run("cluster", TIDINGS_CLUSTER="/else/where").stdout.endswith("in /else/where\n")


@pytest.mark.parametrize(
    ("args", "called"),
    [
        ([], "-m pytest"),
        (["unit"], "-m pytest tests/unit"),
        (["unit", "web", "-k", "unit"], "-m pytest tests/unit tests/web -k unit"),
        (["tests/unit/test_lock.py::test_x", "-x"], "-m pytest tests/unit/test_lock.py::test_x -x"),
        (["--shards", "2", "unit", "-x"], "-m tests.support.shards 2 tests/unit -x"),
    ],
)
def test_tests_are_chosen_by_suite_or_by_pytests_own_words(machine: Machine, args: list[str], called: str) -> None:
    machine.run("setup")
    machine.called()
    machine.run("test", *args)
    assert machine.called() == [called]


def test_a_failing_test_run_fails(machine: Machine) -> None:
    assert machine.run("test", FAILS_ON="pytest").returncode == 1


@pytest.mark.parametrize("part", ["ruff check", "ruff format", "mypy", "test_architecture"])
def test_a_check_fails_when_any_part_does_and_still_runs_the_others(machine: Machine, part: str) -> None:
    machine.run("setup")
    machine.called()
    assert machine.run("check", FAILS_ON=part).returncode == 1
    assert len(machine.called()) == 4
    assert machine.run("check").returncode == 0


def test_faults_are_tried_on_a_cluster_of_their_own(machine: Machine) -> None:
    machine.run("setup")
    machine.called()
    assert machine.run("cluster", "faults", "--short", "--only", "a b").returncode == 0
    assert machine.called() == ["-m tests.faults --short --only a b"]


def test_a_benchmark_runs_by_its_name(machine: Machine) -> None:
    machine.run("setup")
    (machine.project / "benchmarks").mkdir()
    for name in ("__init__", "embedded", "idle"):
        (machine.project / "benchmarks" / f"{name}.py").touch()
    machine.called()
    assert machine.run("bench", "embedded", "--rate", "9").returncode == 0
    assert machine.called() == ["-m benchmarks.embedded --rate 9"]
    unknown = machine.run("bench", "embeded")
    assert unknown.returncode == 2
    assert "Benchmarks: embedded idle" in unknown.stderr


def test_help_needs_no_set_up_and_names_every_command(machine: Machine) -> None:
    text = machine.run("help")
    assert text.returncode == 0
    for command in ("run", "test", "check", "tidings", "cluster", "bench", "lock", "setup"):
        assert f"./dev {command}" in text.stdout
    unknown = machine.run("tset")
    assert unknown.returncode == 2
    assert "no command named tset" in unknown.stderr
    assert machine.called() == []
