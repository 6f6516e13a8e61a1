"""The notebooks run from the first cell to the last, show bars and pictures, and hold no outputs."""

import base64
import importlib
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("ipywidgets")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
# what must stand in some output of a notebook, as text or page
EXPECTED = {
    "01_causal_lm": ["kept", "step 1: loss"],
    "02_masked_lm": [
        "<ruby",
        "[SEP]",
        "| 文 | 学習の前 | 学習の後 |",
        "pseudo_perplexity",
        "学習の後: 94 問のうち",
    ],
    "03_finetune": [
        "cannot be reached",  # without network the list is left out
        "ClassLabel(names=['違う', '同じ'])",
        "同じ {'sentence1': ",
        "| モデル | 指標 | 点数 | 95 % 区間 | 基準 |",
        "| 事前学習なし | accuracy |",
        "| 確率 | 正解 | 答え | 文1 | 文2 |",
        "logits equal",
    ],
}


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def texts_of(output: Any) -> list[str]:
    """What an output of a cell shows, but for pictures."""
    if output.output_type == "stream":
        return [output.text]
    return [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_valid_and_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not [cell.id for cell in code if cell.outputs or cell.execution_count is not None]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=[pytest.mark.slow] if p.stem != "01_causal_lm" else [], id=p.stem)
        for p in NOTEBOOKS
    ],
)
def test_runs_to_its_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANE_NOTEBOOK_STEPS", "8")
    monkeypatch.setenv("PYTHONPATH", str(Path(importlib.import_module("tane").__file__ or "").parents[1]))
    notebook = read(path)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    plots = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert plots and all(base64.b64decode(plot).startswith(b"\x89PNG") for plot in plots)
    bars = [output for output in outputs if WIDGET in output.get("data", {})]
    assert bars, "no bar was drawn"
    shown = "".join(text for output in outputs for text in texts_of(output))
    for expected in EXPECTED[path.stem]:
        assert expected in shown, expected
