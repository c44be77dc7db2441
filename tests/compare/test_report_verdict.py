"""The verdict of a report: the worst case and its cause, growth, cautions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_records import example, folder_of, spread

from vanbench.compare.judge.collect import collect, last_times, summarise
from vanbench.compare.run.record import Record
from vanbench.compare.show.report.page import write_report
from vanbench.compare.show.report.verdict import _growth as growth_fact
from vanbench.compare.show.report.verdict import dominant, verdict

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks; the second is three times worse at its largest size."""
    path = tmp_path_factory.mktemp("run")
    folder_of(path, spread(1e-3), lengths=(4, 6, 8))
    return folder_of(path, spread(3e-3), lengths=(4, 6), architecture="gru")


def summary_of(folder: Path) -> pd.DataFrame:
    return summarise(collect(folder))


def test_verdict_names_the_worst_case_and_its_cause(folder: Path) -> None:
    found = verdict(summary_of(folder), [example()])
    # 0.01 from the time steps and about 0.003 from the network, of 0.4: the smallest ln Z has the largest share
    assert found.headline.startswith("ln Z is within 3.")
    assert "% of exact in all 5 cases" in found.headline
    assert found.facts[0][2].startswith("gru on example, 4, ")
    assert found.facts[2][:2] == ("mostly", "discretisation")
    assert found.networks is not None
    assert [row[0].text for row in found.networks.rows] == ["made", "gru"]  # the better first
    assert [row[1].text for row in found.networks.rows] == ["3", "2"]
    assert found.facts[1][2] == "of 5 cases"
    assert found.facts[2][2].startswith("the largest part in 5 of 5 cases – the time steps")


def test_cases_are_counted(folder: Path) -> None:
    """Five cases at the last time: two without a reference, one that diverged, three with negative targets."""
    summary = summary_of(folder)
    last = summary.index[summary.t == 1.0]
    assert len(last_times(summary)) == 5
    summary.loc[last[:2], ["exact", "error", "error_per_site"]] = np.nan
    summary.loc[last[2], "value"] = np.nan
    summary.loc[last[1:4], "negative"] = 1
    summary.loc[last[3:], "note"] = "odd"
    said = verdict(summary, [example()])
    for words in (
        "2 cases of 5 have no exact",
        "1 case of 5 are not finite",
        "3 cases met negative",
        "In 2 cases: odd.",
    ):
        assert words in " ".join(said.cautions)
    assert "of exact in all 3 cases." in said.headline
    alone = verdict(summary.loc[last[3:4]], [example()])
    assert alone.headline.endswith("of exact.")
    assert "1 case met negative" in " ".join(alone.cautions)


def test_a_power_and_an_exponential_are_compared_at_the_largest_size() -> None:
    """exp(N / 2) grows faster than N^0.8, though 0.5 is below 0.8."""
    noise = 1 + 0.01 * np.array([1, -1, 1, 1, -1])
    sizes = np.array([4, 6, 8, 10, 12])
    common = {"task": "t", "task_hash": "h", "tracker": "kl", "quantity": "ln_Z", "s": 0.1, "t": 1.0, "site": np.nan}
    laws = {"made": 1e-4 * sizes**0.8 * noise, "gru": 1e-5 * np.exp(0.5 * sizes) * noise}
    rows = [
        pd.DataFrame({**common, "architecture": name, "n_sites": sizes, "error": error}) for name, error in laws.items()
    ]
    ((name, law, detail),) = growth_fact(pd.concat(rows, ignore_index=True), "error")
    assert (name, law[:5]) == ("growth with N", "∝ exp")
    assert detail.startswith("gru on t")


def test_cause_needs_every_part() -> None:
    parts = {"discretisation": [1.0, np.nan, 1.0], "projection": [2.0, 1.0, np.nan], "sampling": [0.5, 1.0, np.nan]}
    named = dominant(pd.DataFrame({**parts, "network": [9.0, 1.0, 3.0]}))
    assert named[0] == "projection"  # network is the sum of the two where they are known
    assert pd.isna(named[1])
    assert named[2] == "network"


def test_verdict_without_a_reference_says_so(tmp_path: Path) -> None:
    record = example()
    for name in ("exact", "error", "error_per_site", "scale", "total", "discretisation"):
        record.errors[name] = [None, None]
    record.save(tmp_path / "records" / "a.json")
    path = write_report(tmp_path)
    assert "No exact reference" in path.read_text()
    assert "fewer than 3 seeds" in path.read_text()


def test_zero_reference_is_measured_per_site(tmp_path: Path) -> None:
    found = verdict(summary_of(folder_of(tmp_path, spread(1e-3), s=0.0)), [example()])
    assert found.headline.startswith("ln Z per site is within")
    assert any("passes zero" in text for text in found.cautions)
    write_report(tmp_path)


def test_cautions(tmp_path: Path) -> None:
    folder_of(tmp_path, lengths=(4,))
    record = Record.load(next(tmp_path.rglob("*.json")))
    record.log["ess"] = [0.01, 0.02]
    record.diagnostics["negative_targets"] = 3
    record.provenance = {"commit": "a" * 40, "dirty": True}
    record.save(tmp_path / "one" / "records" / "a.json")
    said = " ".join(verdict(summary_of(tmp_path / "one"), [record, example()]).cautions)
    for words in ("effective sample size", "negative targets", "in no commit", "2 states of the code", "3 seeds"):
        assert words in said
