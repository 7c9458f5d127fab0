"""A test that the machine cannot run is left out loudly, and is a failure where nothing may be left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs

NEEDY = """
    import pytest

    @pytest.mark.needs("chromium")
    def test_page():
        raise AssertionError("must not start without its program")

    def test_other():
        pass
"""


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(needs.STRICT, raising=False)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch, lenient: None) -> None:
    monkeypatch.setenv(needs.STRICT, "1")


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine on which only the programs in this folder are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    needs.look_for.cache_clear()
    yield folder
    needs.look_for.cache_clear()


def program(folder: Path, name: str, prints: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return str(path)


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    plugins = ("-p", "tests.support.needs", "-p", "tests.support.javascript")
    return pytester.runpytest_inprocess(*plugins, "-p", "no:cacheprovider", "-p", "no:asyncio", *args)


def test_without_its_program_a_test_is_left_out_and_the_run_says_why(
    pytester: pytest.Pytester, bare_machine: Path
) -> None:
    pytester.makepyfile(NEEDY)
    result = run(pytester)
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*LEFT OUT: 1*", "1 not run: Chromium is missing*apt-get install chromium"])


@pytest.mark.usefixtures("strict")
def test_where_nothing_may_be_left_out_it_is_a_failure(pytester: pytest.Pytester, bare_machine: Path) -> None:
    pytester.makepyfile(NEEDY)
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["Left out, and TIDINGS_REQUIRE_ALL allows*Chromium is missing*"])


def test_with_its_program_it_runs_and_gets_the_path(pytester: pytest.Pytester, bare_machine: Path) -> None:
    browser = program(bare_machine, "chromium-browser", "")
    pytester.makepyfile(f"""
        import pytest
        from tests.support.needs import require

        @pytest.fixture
        def browser():
            return require("chromium")

        @pytest.mark.needs("chromium")
        def test_page(browser):
            assert browser == {browser!r}
    """)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*LEFT OUT*")


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\n\n@pytest.mark.skip(reason='tired')\ndef test_it(): pass",
        "import pytest\n\ndef test_it():\n    pytest.skip('tired')",
        "import pytest\n\npytest.skip('tired', allow_module_level=True)",
        "import pytest\n\n@pytest.fixture\ndef bed():\n    pytest.skip('tired')\n\ndef test_it(bed): pass",
        "import unittest\n\nclass TestIt(unittest.TestCase):\n    def test_it(self): self.skipTest('tired')",
        "import pytest\n\ndef test_it(subtests):\n    with subtests.test('a'):\n        pytest.skip('tired')",
    ],
)
def test_any_other_way_to_skip_counts_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    pytester.makepyfile(source)
    lenient = run(pytester)
    assert lenient.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    lenient.stdout.fnmatch_lines(["1 not run: tired"])
    monkeypatch.setenv(needs.STRICT, "1")
    demanding = run(pytester)
    assert demanding.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    demanding.stdout.fnmatch_lines(["*Left out, and TIDINGS_REQUIRE_ALL allows*tired*"])


@pytest.mark.usefixtures("strict")
def test_an_expected_failure_did_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n\n@pytest.mark.xfail(reason='known gap', strict=True)\ndef test_it(): assert False"
    )
    result = run(pytester)
    result.assert_outcomes(xfailed=1)
    assert result.ret == pytest.ExitCode.OK


def test_a_need_that_nobody_knows_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n@pytest.mark.needs('telepathy')\ndef test_it(): pass")
    run(pytester).assert_outcomes(errors=1)


@pytest.mark.parametrize(("version", "reason"), [("v18.9.0", "18.18 or later*v18.9.0"), ("nonsense", "nonsense")])
def test_an_old_node_is_as_good_as_none(
    pytester: pytest.Pytester, bare_machine: Path, version: str, reason: str
) -> None:
    program(bare_machine, "node", version)
    pytester.path.joinpath("sum.test.mjs").write_text("")
    result = run(pytester)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"1 not run: Node.js*{reason}*"])


@pytest.mark.usefixtures("strict", "bare_machine")
def test_javascript_tests_without_node_are_a_failure_where_nothing_may_be_left_out(
    pytester: pytest.Pytester,
) -> None:
    pytester.path.joinpath("sum.test.js").write_text("")
    run(pytester).assert_outcomes(errors=1)


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ('test("it", () => assert.equal(1 + 1, 2));', {"passed": 1}),
        ('test("it", () => assert.equal(1 + 1, 3));', {"failed": 1}),
        ('test("it", async () => assert.equal(crypto.randomUUID().length, 36));', {"passed": 1}),
        ('test("it", (t) => t.skip("tired"));', {"skipped": 1}),
        ('test("it", (t) => t.todo("some day"));', {"skipped": 1}),
        ('throw new Error("broken module");', {"failed": 1}),
        ("", {"failed": 1}),
    ],
)
def test_a_javascript_file_passes_as_its_tests_do(
    pytester: pytest.Pytester, body: str, outcome: dict[str, int]
) -> None:
    imports = 'import assert from "node:assert";\nimport test from "node:test";\n'
    pytester.path.joinpath("sum.test.mjs").write_text(imports + body)
    run(pytester).assert_outcomes(**outcome)


@pytest.mark.needs("node")
def test_a_failing_javascript_file_shows_what_node_said(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("sum.test.mjs").write_text(
        'import assert from "node:assert";\nimport test from "node:test";\n'
        'test("sums add up", () => assert.equal(1 + 1, 3));\n'
    )
    run(pytester).stdout.fnmatch_lines(["not ok 1 - sums add up", "*AssertionError*"])
