"""The notebooks run from top to bottom, on sample photos, and are committed without what they print."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"))
MOST = 20_000  # bytes of a notebook: no outputs

SHOWN = {  # notebook -> what its outputs have
    "find_pictures": ["18 added, 0 skipped", "data:image/webp;base64,", "camera.png", "motorcycle_right.png"],
    "measure_models": ["text_to_image  R@1", "image_to_text  MRR", "0 skipped", "image/png"],
    "train_on_your_pictures": ["MODEL_CARD.md", "embedded, trained further", "coffee.png"],
}


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_is_small_and_has_no_outputs(file: Path) -> None:
    notebook = nbformat.read(file, 4)
    nbformat.validate(notebook)
    assert file.stat().st_size < MOST
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)
    assert not re.search(r"/home/|/root/|/work/|/tmp/", file.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
@pytest.mark.filterwarnings("default")
def test_notebook_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "work").mkdir()
    notebook = nbformat.read(file, 4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path / "work")}}).execute()
    outputs = str([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert [text for text in SHOWN[file.stem] if text not in outputs] == []
    assert sorted(SHOWN) == [one.stem for one in NOTEBOOKS]
    assert os.listdir(tmp_path / "work")
