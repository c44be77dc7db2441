"""What a folder's suite declares and has left no record is told, and no more."""

from __future__ import annotations

import pytest
from command_line import run

from vanbench.compare.declare.task import Architecture
from vanbench.compare.run import missing
from vanbench.compare.run.record import records

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_folder_that_lacks_runs_says_so(tmp_path, suite, capsys):
    out = tmp_path / "out"
    assert run("run", suite, "--out", out, "--quiet", "--jobs", 1) == 0
    paths = [path for path, _ in records(out)]
    assert missing.sentence(out, [record for _, record in records(out)]) == ""
    paths[0].unlink()
    capsys.readouterr()
    assert run("table", out) == 0
    assert "1 of 6 runs of the suite 'tiny' has left no record here." in capsys.readouterr().err
    assert run("report", out) == 0
    assert "1 of 6 runs of the suite" in (out / "report.html").read_text()


def test_other_networks_than_the_suite_names_are_expected_everywhere(tmp_path, suite):
    out = tmp_path / "out"
    suite.write_text(suite.read_text() + suite.read_text().split("version = 1\n")[1].replace('"tiny"', '"again"'))
    mine = ["--architecture", "made", "--architecture-option", "hidden=4"]
    assert run("run", suite, "--out", out, "--quiet", "--jobs", 1, *mine) == 0
    every = [record for _, record in records(out)]
    assert missing.sentence(out, every) == ""
    assert missing.sentence(out, every[1:]).startswith("1 of 12 runs")
    first = [record for record in every if record.task.name == "tiny"]
    assert missing.sentence(out, first).startswith("6 of 12 runs")  # none of the suite's own network
    other = {"architecture": Architecture(name="bernoulli")}
    own = [record.model_copy(update={"run": record.run.model_copy(update=other)}) for record in first]
    assert missing.sentence(out, first + own).startswith("12 of 24 runs")


def test_a_folder_without_a_suite_lacks_nothing(tmp_path):
    assert missing.sentence(tmp_path, []) == ""
