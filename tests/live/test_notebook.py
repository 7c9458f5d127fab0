"""The notebook and the questions of docs/analysts.md are asked of a real log."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.cli import environment, run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.filterwarnings("default")  # of Jupyter's own making
def test_the_notebook_runs_from_its_first_cell_to_its_last(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(stopped).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.reads((DOCS / "analysts.ipynb").read_text(), as_version=4)  # type: ignore[no-untyped-call]
    asked = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in asked), "kept without answers"
    here = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=here).execute()
    assert all(cell.outputs or "CREATE VIEW" in cell.source for cell in asked)


@pytest.fixture(scope="module")
def exported(stopped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    done = run(stopped, "events", "export", "--out", str(out), "--workers", "1")
    assert done.status == 0, done.stderr
    return out


@pytest.mark.parametrize("query", re.findall(r"```sql\n(.*?)```", (DOCS / "analysts.md").read_text(), re.DOTALL))
def test_each_question_of_the_page_has_an_answer(stopped: Path, exported: Path, query: str) -> None:
    done = run(stopped, "sql", query, "--export", str(exported), "--output", "csv")
    assert done.status == 0, done.stderr
    assert done.stdout.startswith('"')
