"""The contract of an autoregressive network as plain functions ``check(case)``: silent, or a ``Violation``.

Each may be called from pytest: ``check_causality(Case(MyNet, (2, 3)))``. ``Skip`` says that a check does not apply.
Here: what a distribution must keep. ``conform_program`` has what a program must keep (state, seeds, files, devices).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.func import functional_call

from vanbench.compare.conform.case import Case, Skip, Violation, require_one_order, rounding, row_text, site_name
from vanbench.exact import InputError
from vanbench.neural import Autoregressive
from vanbench.neural.outside.probe import order_of, seen
from vanbench.neural.outside.wrapped import NORMALISERS

SAMPLES = 4000
P_VALUE = 1e-6  # of a chi-square test: no false alarm in a thousand networks; a wrong conditional gives 1e-20


def check_normalisation(case: Case) -> None:
    """The probabilities of all configurations add up to 1."""
    net, x = case.net(), case.states()
    total = net.log_prob(x).exp().sum().item()
    if abs(total - 1) <= rounding(net):
        return
    likely = "do logits or an added term bypass log_softmax?"
    if type(net).log_prob is not Autoregressive.log_prob:
        likely = "log_prob is overridden: is every conditional normalised over its values?"
    elif case.kind != "none":
        likely = "is a factor of the restriction missing, or counted twice, in an overridden method?"
    else:
        likely = "does a site's conditional depend on the site itself or on later ones? See causality."
    raise Violation(f"exp(log_prob) summed over all {len(x)} configurations", f"the sum is {total:.9g}, not 1", likely)


def check_support(case: Case) -> None:
    """Pinned sites, excluded configurations: probability 0 off the support and only there; samples keep to it."""
    if case.kind == "none":
        raise Skip("nothing is restricted")
    net, x = case.net(), case.states()
    allowed, finite = case.allowed(x), torch.isfinite(net.log_prob(x))
    wrong = (allowed != finite).nonzero()
    if len(wrong):
        at = int(wrong[0])
        raise Violation(
            f"log_prob of all {len(x)} configurations under {case.kind}",
            f"{len(wrong)} have the wrong support, first {row_text(x[at])}: "
            + ("it is allowed but has probability 0" if allowed[at] else "it is forbidden but has a probability"),
            "log_prob is overridden and leaves out restrict(): override logits alone"
            if type(net).log_prob is not Autoregressive.log_prob
            else "does logits return infinities, or does an overridden restrict() drop the pins or the support?",
        )
    drawn = net.sample(200, torch.Generator().manual_seed(1))
    outside = (~case.allowed(drawn)).nonzero()
    if len(outside):
        raise Violation(
            f"200 samples under {case.kind}",
            f"{len(outside)} lie off the support, first {row_text(drawn[outside[0, 0]])}",
            "sample or draw is overridden and leaves out the pinned sites or the support",
        )


def check_causality(case: Case) -> None:
    """The logits of a site depend only on the sites before it in ``order``."""
    net = case.net()
    x = case.configurations(6)
    require_one_order(net, x)
    logits = net.logits(x)
    rank = np.argsort(net.order)
    leaks: list[tuple[int, int, float]] = []  # (site, what it sees, by how much)
    for site in net.order:
        for shift in range(1, case.d):
            y = x.clone()
            y[:, site] = (y[:, site] + shift) % case.d
            moved = (net.logits(y) - logits).abs().amax((0, 2)).tolist()
            leaks += [(i, site, moved[i]) for i in net.order if rank[i] <= rank[site] and moved[i] > rounding(net)]
    if leaks:
        first = min(leaks, key=lambda leak: (rank[leak[0]], rank[leak[1]]))
        pairs = {(i, j) for i, j, _ in leaks}
        who = "itself" if first[0] == first[1] else f"site {site_name(case.shape, first[1])}"
        how = f"a logit moves by {first[2]:.2g}; such pairs: {len(pairs)}"
        raise Violation(
            "each value of each site changed in turn, logits compared",
            f"site {site_name(case.shape, first[0])} sees {who} ({how})",
            _leak(leaks, case, net),
        )


def _leak(leaks: list[tuple[int, int, float]], case: Case, net: Autoregressive) -> str:
    """The likely mistake, from the leaks (site, site that it sees, by how much)."""
    n, pairs = case.n_sites, {(i, j) for i, j, _ in leaks}
    norms = [name for name, module in net.named_modules() if isinstance(module, NORMALISERS)]
    if norms:
        return f"{norms[0]} normalises over sites or rows, and so mixes them: LayerNorm over a site's features does not"
    sees = seen(net.logits, n, case.d)
    order, turned = order_of(sees), _transposed(sees, case.shape)
    if order is not None:
        return f"the mask is transposed, or made for another order than self.order: the logits follow {order}"
    if turned is not None and order_of(turned) is not None:
        return "the axes of the lattice are swapped between x and logits: is the output transposed?"
    if all(i == j for i, j in pairs):
        return "is the mask inclusive (>= where > is meant), or the input not shifted by one site?"
    if len(pairs) == n * (n + 1) // 2:
        return "there is no mask: every site sees every site"
    return "is the mask inclusive, transposed, or lost in one layer? Convolutions: is the padding circular or centred?"


def _transposed(sees: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Which sites see which if the logits are those of the transposed lattice; None on a chain."""
    if len(shape) < 2:
        return None
    sites = torch.arange(len(sees)).view(shape[:-2] + shape[:-3:-1]).transpose(-1, -2).flatten()
    return sees[sites]


def check_cache(case: Case) -> None:
    """``start`` and ``step`` give the logits that ``logits`` gives, site after site."""
    net = case.net()
    x = case.configurations(5)
    if type(net).step is Autoregressive.step:
        raise Skip("no step of its own")
    require_one_order(net, x)
    expected, cache = net.logits(x), net.start(len(x))
    filled = torch.zeros_like(x)
    for k, site in enumerate(net.order):
        logits_k, cache = net.step(k, filled, cache)
        gap = (_centred(logits_k) - _centred(expected[:, site])).abs().max().item()
        if not gap <= rounding(net):
            raise Violation(
                "step(k, x, cache) beside logits(x)",
                f"at k = {k}, site {site_name(case.shape, site)}, a logit differs by {gap:.2g}",
                "does the cache take in the site before k (not k itself), and does step follow self.order?",
            )
        filled[:, site] = x[:, site]


def _centred(logits: Tensor) -> Tensor:
    """Remove the constant that a softmax ignores."""
    return logits - logits.mean(-1, keepdim=True)


def check_sampling(case: Case) -> None:
    """Samples follow the density: chi-square test of every prefix in ``order``, which names the first wrong site."""
    net, x = case.net(), case.states()
    p = net.log_prob(x).exp().detach().numpy()
    drawn = net.sample(SAMPLES, torch.Generator().manual_seed(1)).numpy().astype(int)
    counts = np.bincount(drawn @ case.d ** np.arange(case.n_sites - 1, -1, -1), minlength=len(p))
    grid = (case.d,) * case.n_sites
    p, counts = (np.transpose(a.reshape(grid), net.order) for a in (p / p.sum(), counts))
    for k, site in enumerate(net.order):
        expected, observed = (a.reshape(case.d ** (k + 1), -1).sum(1) for a in (SAMPLES * p, counts))
        chance = _chi_square(observed, expected)
        if chance < P_VALUE:
            at = int(np.argmax((observed - expected) ** 2 / np.maximum(expected, 1)))
            prefix = np.base_repr(at, case.d).rjust(k + 1, "0")
            raise Violation(
                f"chi-square of {SAMPLES} samples against exp(log_prob)",
                f"wrong from site {site_name(case.shape, site)} on (p-value {chance:.1e}): the first sites "
                f"{net.order[: k + 1]} are {prefix} in {observed[at]} samples where {expected[at]:.0f} are expected",
                "do sample/draw/step and log_prob use the same logits, the same order, and no temperature?",
            )


def _chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """p-value, with neighbouring cells joined until each expects 5, the usual rule of the approximation."""
    cells: list[list[float]] = [[0.0, 0.0]]
    for o, e in zip(observed, expected):
        if cells[-1][1] >= 5:
            cells.append([0.0, 0.0])
        cells[-1][0] += o
        cells[-1][1] += e
    if len(cells) > 1 and cells[-1][1] < 5:
        o, e = cells.pop()
        cells[-1][0] += o
        cells[-1][1] += e
    seen, due = np.array(cells).T
    if len(cells) < 2:
        return 1.0
    return float(stats.chi2.sf(((seen - due) ** 2 / due).sum(), len(cells) - 1))


def check_neighbours(case: Case) -> None:
    """``log_prob_moves`` is ``log_prob`` of the neighbours, for all of them and for some."""
    net, n, d = case.net(), case.n_sites, case.d
    x = net.sample(12, torch.Generator().manual_seed(2))
    moved = np.eye(n, dtype=np.int8)
    deltas = np.stack([moved[i] * v for i in range(n) for v in range(1, d)])
    if n > 2:
        deltas = np.concatenate([deltas, [moved[i] + (d - 1) * moved[(i + 2) % n] for i in range(n)]])
    y = torch.remainder(x[:, None] - torch.tensor(deltas), d).to(torch.int8)
    expected = net.log_prob(y.flatten(0, 1)).view(len(x), -1)
    used = torch.rand(expected.shape, generator=torch.Generator().manual_seed(4)) < 0.4
    for name, given, wanted in (
        ("all", net.log_prob_moves(x, deltas), expected),
        ("the used", net.log_prob_moves(x, deltas, used)[used], expected[used]),
    ):
        if not torch.allclose(given, wanted, rtol=rounding(net), atol=rounding(net)):
            raise Violation(
                f"log_prob_moves beside log_prob for {name} of {len(deltas)} moves",
                f"ln p differs by up to {_gap(given, wanted):.2g}",
                "log_prob_moves or advance is overridden: is what depends on the changed site computed again?",
            )


def check_product_start(case: Case) -> None:
    """``initialise(product)`` makes the network that product distribution, exactly."""
    net, x = case.net(), case.states()
    if not net.starts:
        raise Skip("it has no initialise(product): no run can begin from it but with start_from")
    product = _product(net, case)
    weight = torch.tensor(product[np.arange(case.n_sites), x.numpy()])
    if "pinned" in case.kind:
        weight[:, [0, -1]] = 1.0
    expected = torch.where(case.allowed(x), weight.prod(1), 0.0)
    expected = expected / expected.sum()
    density = net.log_prob(x).exp()
    gap = (density - expected).abs().max().item()
    if not gap <= rounding(net):
        raise Violation(
            "initialise(product) on a network with random parameters",
            f"a probability differs from the product by {gap:.2g}",
            "does zero_output() set to zero all that reaches the logits? A path may go around the layer 'output'",
        )


def _product(net: Autoregressive, case: Case) -> np.ndarray:
    """That the network has become: of random sites, or, for a density that is symmetric, of equal ones or uniform."""
    sites = np.random.default_rng(0).dirichlet(np.ones(case.d), case.n_sites)
    for product in (sites, np.broadcast_to(sites[0], sites.shape), np.full_like(sites, 1 / case.d)):
        try:
            net.initialise(product)
        except InputError:
            if net.one_order:
                raise
        else:
            return product
    raise Skip("its initialise(product) refuses what was tried")


def check_gradients(case: Case) -> None:
    """The gradient of ``log_prob`` is that of finite differences, for each parameter."""
    net = case.net()
    x = net.sample(4, torch.Generator().manual_seed(2))
    names, held = zip(*net.named_parameters())
    still = next((name for name, parameter in net.named_parameters() if not parameter.requires_grad), None)
    if still is not None:
        raise Violation(
            "requires_grad of every parameter", f"{still!r} takes no gradient", "make it a buffer, or let it be trained"
        )
    total = net.log_prob(x).sum()
    if not total.requires_grad:
        raise Violation("log_prob(x).sum().backward()", "log_prob has no gradient at all", _DETACHED)
    gradients = torch.autograd.grad(total, held, allow_unused=True)
    generator = torch.Generator().manual_seed(4)
    for name, parameter, gradient in zip(names, held, gradients):
        direction = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        slope = 0.0 if gradient is None else (gradient * direction).sum().item()
        h = rounding(net) ** 0.5 / 3
        difference = _difference(net, dict(zip(names, held)), name, direction, x, h)
        # h^2 f''' + eps/h, h = 1e-5: about 1e-9 beside the size of f (float32, h = 3e-3: 1e-4); a wrong gradient is off
        # by its own size
        allowed = rounding(net) * 1e4 if net.site_bias.dtype == torch.float64 else 2e-2
        if not abs(slope - difference) <= allowed * abs(difference) + allowed:
            raise Violation(
                f"a directional derivative beside (f(+h) - f(-h)) / 2h, h = {h:.0e}",
                f"parameter {name!r}: the gradient gives {slope:.6g}, the difference {difference:.6g}",
                _wrong_gradient(slope, difference),
            )


def _wrong_gradient(slope: float, difference: float) -> str:
    if slope == 0:
        return _DETACHED
    if difference == 0:
        return "a tensor derived from this parameter is kept on self: compute it anew in every call"
    return "is part of its path detached, or a custom backward wrong?"


_DETACHED = "is a tensor on the way detached (.data, .detach(), .item(), numpy, torch.no_grad())?"


@torch.no_grad()
def _difference(net: Any, parameters: dict[str, Tensor], name: str, direction: Tensor, x: Tensor, h: float) -> float:
    def value(step: float) -> float:
        shifted = {**parameters, name: parameters[name] + step * direction}
        return functional_call(net, shifted, (x,)).sum().item()

    return (value(h) - value(-h)) / (2 * h)


def _gap(given: Tensor, expected: Tensor) -> float:
    """The largest difference; equal infinities do not differ."""
    gap = torch.where(given == expected, 0.0, (given - expected).abs())
    return torch.nan_to_num(gap, nan=torch.inf).max().item() if gap.numel() else 0.0
