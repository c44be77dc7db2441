"""The map of trackers: what it says of each is what the code does; options are data; old names are refused."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vanbench.compare.cli import application
from vanbench.compare.declare.task import Task, method_label
from vanbench.exact import Connections, InputError, Term, build, generator
from vanbench.exact.spellings import TRACKERS as OLD
from vanbench.neural import Ensemble, describe, track, trackers
from vanbench.neural import build as network
from vanbench.neural.trackers import TRACKERS, Problem, chart
from vanbench.neural.trackers.base import BALANCE, NEEDS, PAIRS, PLAIN, POSITIVE, STATIC, one_configuration
from vanbench.neural.trackers.gibbs.weights import heated

PAGE = (Path(__file__).parents[2] / "docs/trackers.md").read_text().split("## The error of a tracked value")[0]
VARIANTS = [(name, one) for name, kind in TRACKERS.items() for one in kind.variants]
SMALL = {
    "kl": {"dt": 0.1, "samples": 20, "epochs": 2, "first_epochs": 2},
    "natural-gradient": {"dt": 0.1, "samples": 20},
    "l1": {"samples": 20, "epochs": 2, "iterations": 2},
    "clones": {"clones": 400},
    "guided-clones": {"clones": 400, "samples": 20},
    "free-energy": {"iterations": 20, "samples": 20},
    "likelihood": {"configurations": 100, "epochs": 2, "batches": 4},
}


def three_sites():
    """FA as one term on all of its sites."""
    system = build("fa", (3,))
    w = generator(system).toarray()
    term = Term((0, 1, 2), w, {"activity": ((1, w - np.diag(w.diagonal())),)})
    return replace(system, terms=(term,))


# of each need, a system that lacks it
LACKING = {
    BALANCE: (lambda: build("asep", (3,), p=1.0, q=0.3), 0.1, "activity"),
    PAIRS: (three_sites, 0.1, "activity"),
    POSITIVE: (lambda: build("tfim", (2,)), 0.1, "jumps"),
    PLAIN: (lambda: build("tfim", (2,)), 0.1, "jumps"),
    STATIC: (lambda: build("fa", (3,)), 0.1, "activity"),
}
# of some needs, a system that has it; FA has the others
FITTING = {
    PLAIN: (lambda: build("tfim", (2,)), 0.0, "jumps"),
    STATIC: (lambda: build("ising", (3,)), 0.1, "energy"),
}


def tables(text: str) -> list[list[list[str]]]:
    """Of Markdown, without the rule below the headings."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    return [[[c.strip() for c in line[1:-1].split("|")] for line in b.splitlines()] for b in blocks]


def test_the_page_is_what_the_code_says():
    want = [chart.purposes(), chart.variants(), chart.needs(), *(chart.options(name) for name in TRACKERS)]
    assert [[table[0], *table[2:]] for table in tables(PAGE)] == [[headings, *rows] for headings, rows in want]


def test_the_stored_tables_are_what_the_code_says():
    """After a change: ``python -m vanbench.neural.describe``."""
    assert describe.STORED.read_text(encoding="utf-8") == describe.as_json(describe.tables())


def test_the_list_shows_every_option_of_every_tracker():
    shown = CliRunner().invoke(application(), ["list", "trackers"], env={"COLUMNS": "400"}).output
    for name, kind in TRACKERS.items():
        block = re.split(rf"options of {name} *\n", shown)[1].split("options of")[0]
        for one in fields(kind):
            assert re.search(rf"\b{one.name}\b.*{re.escape(one.metadata['what'][:40])}", block)


@pytest.mark.parametrize("name", TRACKERS)
def test_every_option_has_a_sentence_and_a_default_that_it_accepts(name):
    tracker = trackers.make(name, {})
    with pytest.raises(FrozenInstanceError):
        tracker.samples = 3
    for one in fields(tracker):
        assert len(one.metadata["what"]) > 5
        assert trackers.make(name, {one.name: getattr(tracker, one.name)}) == tracker


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_what_a_tracker_needs_is_asked_for_and_what_it_gives_is_given(name, variant):
    def run(system, s, observable):
        kind = {"any": "sitewise", "none": "bernoulli"}.get(variant.network, variant.network)
        return track(
            system, [s], [1.0], observable=observable, quantities=["ln_Z"], architecture=kind, tracker=name,
            tracker_options={**SMALL.get(name, {}), **variant.when}, target=variant.target, project=False,
        )  # fmt: skip

    for need in variant.needs:
        make, s, observable = LACKING[need]
        with pytest.raises(InputError):
            run(make(), s, observable)
    fitting = [FITTING[need] for need in variant.needs if need in FITTING]
    make, s, observable = fitting[0] if fitting else (lambda: build("fa", (3,)), 0.1, "activity")
    result = run(make(), s, observable)
    if variant.noiseless and name == "tebd":
        assert (result.records.sampling_stderr == 0).all()
    assert (result.diagnostics["n_parameters"] > 0) == (variant.network != "none")
    assert set(variant.needs) <= set(NEEDS)


def test_a_network_of_another_kind_is_refused():
    for name, variant in VARIANTS:
        if variant.network == "matrix-product":
            with pytest.raises(InputError, match="needs the architecture matrix-product"):
                track(build("fa", (3,)), tracker=name, tracker_options=dict(variant.when), target=variant.target)


@pytest.mark.parametrize("old", OLD)
def test_an_old_name_is_refused_with_the_new_spelling(old, tmp_path):
    new, option, target = OLD[old]
    key, _, value = option.partition("=")
    options = {key: {"true": True}.get(value, value)} if option else {}
    assert trackers.make(new, options).variant(target) in TRACKERS[new].variants
    assert method_label(new, options, target).startswith(new)
    told = rf"the tracker '{old}' is now called '{new}'"
    with pytest.raises(InputError, match=told):
        trackers.make(old, {})
    with pytest.raises(InputError, match=told):
        Task(name="a", system="east", shapes=[(3,)], s=[0.1], times=[0.1], tracker=old)
    words = f"track east --shape 3 --s 0.1 --times 1 --tracker {old} --out {tmp_path}/a"
    refused = CliRunner().invoke(application(), words.split())
    assert isinstance(refused.exception, InputError) or refused.exit_code == 2
    assert not (tmp_path / "a").exists()


def test_a_step_leaves_the_state_it_starts_from():
    """So a checkpoint after a step that failed is that of before."""
    torch.manual_seed(0)
    system = build("fa", (3,))
    for name, options in (("tdvp", {"samples": 50}), ("tebd", {}), ("clones", {"clones": 400})):
        net = network("matrix-product" if name == "tebd" else "sitewise", (3,)).double().initialise(system.initial)
        problem = Problem(system, [0.2], "activity", Ensemble(net, 1), torch.Generator().manual_seed(1))
        tracker = trackers.make(name, options)
        state = tracker.init(problem)
        good, drawn = problem.ensemble.frozen(), problem.generator.get_state()
        _, first = tracker.step(problem, state, 0.1)
        problem.ensemble.load(good)
        problem.generator.set_state(drawn)
        _, again = tracker.step(problem, state, 0.1)
        assert torch.equal(first.increments[first.default].value, again.increments[again.default].value)


def test_samples_that_are_one_configuration_are_told_of_where_it_moves():
    connections = Connections(build("voter", (3,)), [0.1], "activity")
    mixed, agreed = (torch.tensor(values, dtype=torch.int8).expand(1, 5, 3) for values in ([1, 0, 1], [1, 1, 1]))
    assert "effective sample size is 1" in one_configuration(connections, mixed)[0].text
    assert not one_configuration(connections, agreed)  # nobody changes their mind
    assert not one_configuration(connections, torch.cat([mixed, agreed], 1))


def test_samples_are_cooled_to_the_end():
    assert (heated(0.0), heated(1.0)) == (0.0, 1.0)
    assert heated(0.5) == pytest.approx((1 - np.exp(-2.5)) / (1 - np.exp(-5.0)))
