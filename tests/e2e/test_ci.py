"""Continuous integration installs what is missing, runs every part, and fails when one of them does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "bash sh env dirname timeout sed find"
ALL = "dev test --shards 2"
NOTES_ITS_CALL = '#!/bin/sh\necho "$(basename "$0") $*" >>"$CALLS"\n'


class Machine:
    """A clone whose `./dev` is a stand-in, on a machine where these programs have been installed."""

    def __init__(self, base: Path) -> None:
        self.bin, self.calls, self.clone = base / "bin", base / "calls", base / "clone"
        self.bin.mkdir()
        (self.clone / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci/run", self.clone / ".ci/run")
        for tool in [*TOOLS.split(), "basename"]:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.program("apt-get", NOTES_ITS_CALL)
        self.program("id", "#!/bin/sh\necho 0\n")
        self.program("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.program("node", '#!/bin/sh\ncase "$2" in *"< 18"*) exit 0 ;; *) exit 1 ;; esac\n')
        self.program("java", "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
        for program in ["chromium", "mvn", "redis-server", "initdb", "haproxy", "kcat", "strace"]:
            self.program(program, "#!/bin/sh\n")
        self.dev("")

    def program(self, name: str, source: str) -> None:
        path = self.bin / name
        path.write_text(source)
        path.chmod(0o755)

    def dev(self, then: str) -> None:
        path = self.clone / "dev"
        path.write_text(f'{NOTES_ITS_CALL}echo "CI=$CI ALL=$TIDINGS_REQUIRE_ALL"\n{then}\n')
        path.chmod(0o755)

    def run(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", str(self.clone / ".ci/run")],
            env={"PATH": str(self.bin), "CALLS": str(self.calls)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_everything_there_it_installs_nothing_and_runs_both_parts(machine: Machine) -> None:
    run = machine.run()
    assert run.returncode == 0
    assert machine.called() == ["dev check", ALL]
    assert run.stdout == "CI=true ALL=1\n" * 2


@pytest.mark.parametrize(
    ("program", "packages"),
    [
        ("chromium", "chromium fonts-liberation"),
        ("node", "nodejs"),
        ("python3", "python3 python3-venv"),
        ("java", "default-jre-headless"),
        ("mvn", "maven"),
        ("redis-server", "redis-server"),
        ("kcat", "kcat"),
        ("strace", "strace"),
    ],
)
def test_what_is_missing_is_installed_first(machine: Machine, program: str, packages: str) -> None:
    (machine.bin / program).unlink()
    assert machine.run().returncode == 0
    update, install, *rest = machine.called()
    assert update.startswith("apt-get update")
    assert install.endswith(packages)
    assert rest == ["dev check", ALL]


@pytest.mark.parametrize("program", ["node", "python3", "java"])
def test_what_is_too_old_counts_as_missing(machine: Machine, program: str) -> None:
    machine.program(program, "#!/bin/sh\nexit 1\n")
    machine.run()
    assert machine.called()[0].startswith("apt-get update")


def test_a_failed_installation_is_a_failure(machine: Machine) -> None:
    (machine.bin / "chromium").unlink()
    machine.program("apt-get", "#!/bin/sh\nexit 100\n")
    assert machine.run().returncode == 100


AGAIN = "dev test --last-failed --last-failed-no-failures none"


@pytest.mark.parametrize(("part", "calls"), [("check", ["dev check", ALL]), ("test", ["dev check", ALL, AGAIN])])
def test_one_failed_part_fails_the_run_and_the_other_still_runs(machine: Machine, part: str, calls: list[str]) -> None:
    machine.dev(f'[ "$1" != {part} ]')
    run = machine.run()
    assert run.returncode == 1
    assert run.stderr == f"Failed: {part}\n"
    assert machine.called() == calls


def test_tests_that_fail_once_and_pass_alone_do_not_fail_the_run(machine: Machine) -> None:
    machine.dev('[ "$*" != "test --shards 2" ]')
    run = machine.run()
    assert run.returncode == 0
    assert "== once more, what failed" in run.stdout
    assert machine.called() == ["dev check", ALL, AGAIN]
