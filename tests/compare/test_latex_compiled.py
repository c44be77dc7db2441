"""Tables as LaTeX sets them, in the column of a page with two: nothing stands out of it, and it can be read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from example_records import example

from vanbench.compare.run.record import FOLDER
from vanbench.compare.show.tables import render, table

PAGE = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs,graphicx,siunitx}
\begin{document}
\noindent
TABLE
\end{document}
"""
NETWORKS = ("made", "gated-pixelcnn", "transformer", "package_of_mine.nets:MyNetwork")
TINY = 0.6  # of footnotesize, 8 points: below 5 points nobody reads


def _latex() -> bool:
    """Whether there is a LaTeX with the packages."""
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    names = ["booktabs.sty", "graphicx.sty", "siunitx.sty"]
    return len(subprocess.run(["kpsewhich", *names], capture_output=True, text=True).stdout.split()) == len(names)


pytestmark = pytest.mark.skipif(not _latex(), reason="no pdflatex with booktabs, graphicx and siunitx")


def compiled(text: str, folder: Path) -> tuple[str, float]:
    """The log, and the width of the table over that of the column before it is scaled."""
    told = text.replace(r"\ifdim", r"\typeout{WIDTH \the\wd0\space\the\linewidth}\ifdim")
    (folder / "page.tex").write_text(PAGE.replace("TABLE", told))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    log = (folder / "page.log").read_text()
    assert done.returncode == 0, log[-2000:]
    width, line = re.search(r"WIDTH ([\d.]+)pt ?([\d.]+)pt", log).groups()  # type: ignore[union-attr]
    return log, float(width) / float(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of three sizes, four networks, three seeds."""
    out = tmp_path_factory.mktemp("runs")
    for task in ("fa_1d & more", "south-east-2d"):
        for length in (4, 6, 8):
            for number, network in enumerate(NETWORKS):
                for replica in range(3):
                    value = -length / 10 * (1 + 1e-3 * (1 + number) * (1 + replica))
                    name = task.replace(" & ", ".")
                    record = example(length, replica, value, network, name)
                    record.save(out / FOLDER / record.run.path)
    return out


def test_several_networks_fit_a_column(folder: Path, tmp_path: Path) -> None:
    log, wide = compiled(render(table(folder, "size"), "latex"), tmp_path)
    assert "Overfull" not in log
    assert wide < 1 / TINY


def test_side_by_side_and_with_chosen_columns(folder: Path, tmp_path: Path) -> None:
    cases = table(folder, "size")
    for asked in ({"across": "architecture"}, {"columns": ["task", "architecture", "shape", "error"]}):
        log, wide = compiled(render(cases, "latex", **asked), tmp_path)
        assert "Overfull" not in log
        assert wide < 1 / TINY


def test_what_fits_is_not_scaled(folder: Path, tmp_path: Path) -> None:
    log, wide = compiled(render(table(folder, "size"), "latex", columns=["shape", "error"]), tmp_path)
    assert "Overfull" not in log
    assert wide < 0.6
