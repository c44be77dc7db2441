"""``conform`` of other people's networks: it passes those that are right, tries only what they claim, and says so."""

from __future__ import annotations

import brought_networks as brought
import pytest
import torch
from broken_networks import Healthy
from torch import Tensor, nn

from vanbench.compare.conform.case import Case, Violation
from vanbench.compare.conform.checks import check_causality
from vanbench.compare.conform.contract import conform
from vanbench.compare.run.execute import check
from vanbench.exact import InputError
from vanbench.neural import Autoregressive


@pytest.mark.slow
@pytest.mark.parametrize("cls", brought.WRAPPED, ids=lambda cls: cls.__name__)
def test_a_wrapped_network_keeps_the_contract(cls: type[Autoregressive]) -> None:
    assert not conform(cls).failures


@pytest.mark.parametrize("cls", [brought.Parameters, brought.Float32], ids=lambda cls: cls.__name__)
def test_on_one_lattice(cls: type[Autoregressive]) -> None:
    assert not conform(cls, (4,)).failures


def test_what_is_not_claimed_is_not_tried() -> None:
    results = conform(brought.Float32, (3,)).results
    unclaimed = [r.setting for r in results if r.found == "the network does not claim it"]
    assert unclaimed == ["d = 4", "float64"]
    assert not [r for r in results if "d = 4" in r.setting and r.status != "skipped"]
    assert next(r for r in results if r.check == "float32").found == "it claims float32 alone"


def test_a_restriction_that_leaves_nothing_is_skipped() -> None:
    results = conform(Healthy, (3,)).results
    assert not [r for r in results if r.status == "failed"]
    assert any(r.found == "no configuration is left" for r in results)


class Transposed(Healthy):
    """Its logits come with the axes of the lattice swapped."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x).unflatten(1, self.shape[::-1]).transpose(1, 2).flatten(1, 2)


class OtherOrder(Healthy):
    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        return other > site


class Normalises(Healthy):
    """Over the sites."""

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.norm = nn.InstanceNorm1d(self.width)

    def features(self, x: Tensor) -> Tensor:
        return self.norm(super().features(x).mT).mT


@pytest.mark.parametrize(
    ("network", "hint"),
    [(Transposed, "transposed"), (OtherOrder, r"follow \[5, 4, 3, 2, 1, 0\]"), (Normalises, "norm normalises over")],
)
def test_hints(network: type[Healthy], hint: str) -> None:
    with pytest.raises(Violation, match=hint):
        check_causality(Case(network, (2, 3)))


def test_the_global_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    Case(brought.Masked, (4,)).net()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("broken_networks:InclusiveMask", "is not"),
        ("broken_networks:LayersKeptElsewhere", "has copies that do not train"),
        ("broken_networks:NothingToSilence", "Override zero_output"),
        ("brought_networks:Float32", "is for float32: take dtype float32"),
        ("brought_networks:Parameters", None),
    ],
)
def test_a_run_is_refused_before_it_begins(network: str, says: str | None) -> None:
    from vanbench.compare import Task
    from vanbench.compare.declare.task import Architecture, Run

    task = Task(name="t", system="east", shapes=[(4,)], s=[0.1], times=[0.1], quantities=["ln_Z"], tracker="tdvp")
    run = Run(task=task, shape=(4,), architecture=Architecture(name=network), replica=0, seed=1)
    if says is None:
        check(run)
        return
    with pytest.raises(InputError, match=says):
        check(run)
