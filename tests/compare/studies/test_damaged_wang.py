"""The study of learned Hamiltonians from files that somebody damaged: one sentence that names the file."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import run

from vanbench.compare.learn.ising import predict
from vanbench.compare.studies.wang2020 import study

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[3]
AGREEMENT = {"r2": 0.99, "slope": 1.0, "free_energy": -135.0, "free_energy_error": 0.1}
FIT = {
    **{"configurations": 60000, "best_epoch": 2, "nll": 27.0, "nll_error": 0.1, "agreement": AGREEMENT},
    **{"training_seconds": 3.0, "training_cpu_seconds": 3.0, "couplings": {"nearest": {"value": 1.0, "stderr": 0.1}}},
}
# each part with the runs that it reads before any network is loaded
READS = {
    "width": ("units4", "units8", "L8", "units32"),
    "shared": tuple(study.SHARED),
    "causes": ("main", *study.SHARED),
}
READS["main"] = tuple(study.VARIANTS)


def kept(work: Path, part: str) -> None:
    """The runs of a part as `vanbench learn` and `predict` leave them, without networks."""
    for name in READS[part]:
        folder = work / name
        folder.mkdir(parents=True)
        (folder / "fit.json").write_text(json.dumps(FIT))
        (folder / "energies.csv").write_text("true,learned\n-200,-199\n-100,-101\n")
        (folder / "history.csv").write_text("epoch,train_nll,validation_nll\n1,9,9\n2,8,8\n")
        for temperatures, sampling in (
            (study.PROBE, study.SHORT),
            (study.PROBE, study.COARSER),
            (study.GRID, study.FULL),
        ):
            rows = [(q, T, -1.0, 0.01, -1.01, 0.0, 0.01, "exact", 300.0) for q in QUANTITIES for T in temperatures]
            predict.save(folder, pd.DataFrame(rows, columns=predict.COLUMNS), temperatures, sampling)


QUANTITIES = ("energy", "abs_magnetization", "specific_heat")


def call(tmp_path: Path, part: str) -> int:
    return run("study", "wang2020", "run", part, "--out", tmp_path / "out", "--work", tmp_path / "work", "-q")


def test_the_files_make_their_page(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results" / "wang2020", tmp_path / "out")
    for part in ("width", "shared"):
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        kept(tmp_path / "work", part)
        assert call(tmp_path, part) == 0
    assert "| units4 " in (tmp_path / "out" / "README.md").read_text()


PREDICTED = predict._paths(Path(), predict._settings(study.PROBE, study.COARSER))[0].name
DAMAGE = [
    "heading",
    "words",
    "pipe",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("cut", "empty", "half", "folder")),
]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    ("part", "name"),
    [
        *(("width", f"work/L8/{name}") for name in ("fit.json", PREDICTED)),
        ("causes", "work/main/history.csv"),
        ("main", "work/main/energies.csv"),
        *(("width", f"out/{name}") for name in ("main.csv", "bounded.csv", "coarse1.csv")),
        ("shared", "out/main-curves.csv"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, part: str, name: str, damage: str
) -> None:
    shutil.copytree(ROOT / "results" / "wang2020", tmp_path / "out", ignore=shutil.ignore_patterns("*.png"))
    kept(tmp_path / "work", part)
    path = tmp_path / name
    text = path.read_text()
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    else:
        lines = text.replace(", ", ",\n").splitlines(keepends=True)  # of JSON too
        texts = {
            "cut": text[: len(text.split(",")[0]) // 2],
            "empty": "",
            "heading": lines[0],
            "half": "".join(lines[::2])[1:],
        }
        path.write_text(texts.get(damage, lines[0] + ",".join(["x"] * 30)))
    assert call(tmp_path, part) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name.rpartition("/")[2] in line


@pytest.mark.parametrize("held", [[], {}, {"agreement": 3}, {"couplings": [1]}, {"couplings": {"a": 1}}, {"nll": "x"}])
def test_a_fit_of_other_values_is_named(tmp_path: Path, capsys: pytest.CaptureFixture, held: object) -> None:
    kept(tmp_path / "work", "width")
    path = tmp_path / "work" / "L8" / "fit.json"
    path.write_text(json.dumps({**FIT, **held} if isinstance(held, dict) and held else held))
    assert call(tmp_path, "width") == 2
    assert "fit.json" in capsys.readouterr().err
