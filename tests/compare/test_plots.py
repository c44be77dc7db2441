"""Figures: that they are made, and that they show the numbers of the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_records import EXACT, folder_of, spread

from vanbench.compare.judge.collect import collect, summarise
from vanbench.compare.show.figures import error_over_size, ln_z_over_time, write_plots
from vanbench.exact import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path, spread(1e-3), lengths=(4, 6, 8))


def test_files_are_images(folder: Path) -> None:
    written = write_plots(folder)
    assert [path.name for path in written] == ["example_ln_Z.png", "example_error.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_two_declarations_of_one_task_are_two_figures(folder: Path) -> None:
    """In one they would be joined to a zig-zag."""
    folder_of(folder, spread(1e-3), lengths=(4,), architecture="gru", version=2)
    names = {path.name.removesuffix("_error.png") for path in write_plots(folder) if "error" in path.name}
    assert len(names) == 2
    assert all(name.startswith("example@") for name in names)


def test_lines_are_the_references(folder: Path) -> None:
    figure = ln_z_over_time(summarise(collect(folder)), "example")
    first = figure.axes[0]
    line = next(line for line in first.lines if line.get_label() == "exact, continuous time")
    np.testing.assert_allclose(line.get_ydata(), [EXACT[4] * t / 4 for t in (0.5, 1.0)])
    assert "time" in figure.axes[-1].get_xlabel()
    assert len(first.containers) == 1  # one network, with error bars


def test_points_are_the_errors(folder: Path) -> None:
    figure = error_over_size(summarise(collect(folder)), "example")
    axis = figure.axes[0]
    assert axis.get_yscale() == "log"
    drawn = {container.get_label(): container.lines[0].get_ydata() for container in axis.containers}
    np.testing.assert_allclose(drawn["discretisation"], [0.01 / -EXACT[n] for n in (4, 6, 8)])
    assert set(drawn) == {"total", "discretisation", "projection", "sampling"}


def test_records_without_references_are_drawn_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, spread(1e-3), lengths=(4,), s=0.0)
    assert len(write_plots(folder)) == 2


def test_figures_for_print(folder: Path) -> None:
    written = write_plots(folder, ("pdf", "svg"))
    assert [path.suffix for path in written] == [".pdf", ".svg"] * 2
    assert all(path.read_bytes().lstrip()[:5] in (b"%PDF-", b"<?xml") for path in written)
    with pytest.raises(InputError, match="unknown format of a figure 'jpg'"):
        write_plots(folder, ("jpg",))
