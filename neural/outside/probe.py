"""What the logits of a network depend on, found by changing it: the sites it sees, its order, its last layer.

Structure, not the values at hand, is asked for: random numbers are added to every parameter meanwhile, so that a weight
that happens to be zero hides nothing.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vanbench.exact import InputError

SCALE = 0.3  # of the random numbers added to the parameters, for layers of up to 16 inputs
NOISE = 1e4  # roundings: above those of sums in another order, far below what a parameter of order 0.1 does
ROWS = 4  # configurations in which each site is changed
DRAWS = 2  # of random parameters: a unit that is off in all of ROWS configurations in one is not in the other
CHUNK = 4096  # configurations in one call

Logits = Callable[[Tensor], Tensor]


@torch.no_grad()
def perturb(net: nn.Module, generator: torch.Generator | None = None) -> None:
    """Add random numbers to every parameter, such that no layer saturates the next."""
    for parameter in net.parameters():
        inputs = math.prod(parameter.shape[1:])
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.add_(SCALE / max(1.0, inputs / 16) ** 0.5 * noise.to(parameter.device))


@contextmanager
def perturbed(net: nn.Module, seed: int = 0) -> Iterator[None]:
    """Inside, ``net`` is far from its start; afterwards it is as it was, the global random state too."""
    held = [parameter.detach().clone() for parameter in net.parameters()]
    with torch.random.fork_rng(devices=[]):
        perturb(net, torch.Generator().manual_seed(seed))
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(net.parameters(), held):
                    parameter.copy_(value)


@torch.no_grad()
def seen(logits: Logits, n_sites: int, local_dim: int, device: torch.device | str = "cpu", seed: int = 0) -> Tensor:
    """Whether the logits of site ``i`` change with the value of site ``j``: bool, ``(n_sites, n_sites)``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, local_dim, (ROWS, n_sites), generator=generator)
    changed = x.repeat(n_sites, 1, 1)
    shift = torch.randint(1, local_dim, (n_sites, ROWS), generator=generator)
    sites = torch.arange(n_sites)
    changed[sites, :, sites] = (changed[sites, :, sites] + shift) % local_dim
    rows = torch.cat([x, changed.flatten(0, 1)]).to(device=device, dtype=torch.int16)
    values = torch.cat([logits(part) for part in rows.split(CHUNK)])
    moved = (values[ROWS:].unflatten(0, (n_sites, ROWS)) - values[:ROWS]).abs().amax((1, 3))
    floor = NOISE * torch.finfo(values.dtype).eps * values.abs().max().clamp_min(1.0)
    return ~(moved <= floor).T.cpu()  # what is not finite counts as changed


def order_of(sees: Tensor) -> list[int] | None:
    """An order in which every site sees only earlier ones, the raster where it is one; None where there is none."""
    n = len(sees)
    waits = sees.sum(1).tolist()  # a site that sees itself waits for ever
    ready = [site for site in range(n) if not waits[site]]
    order: list[int] = []
    while ready:
        site = heapq.heappop(ready)
        order.append(site)
        for later in sees[:, site].nonzero()[:, 0].tolist():
            waits[later] -= 1
            if not waits[later]:
                heapq.heappush(ready, later)
    return order if len(order) == n else None


def shifted(sees: Tensor) -> list[int] | None:
    """The order of a network whose output ``i`` also sees site ``i``, as where it predicts the next one; else None."""
    n = len(sees)
    return order_of(sees & ~torch.eye(n, dtype=torch.bool)) if bool(sees.diagonal().any()) else None


def silence(net: nn.Module, logits: Logits, x: Tensor, kept: Sequence[nn.Parameter] = ()) -> None:
    """Set to zero as few and as late layers as make ``logits(x)`` the same for every row, and leave them trainable.

    A layer is a module with parameters of its own, or one of those parameters. ``kept`` are left alone. Raises
    ``InputError`` where no choice will do.
    """
    layers = _layers(net, logits, x, kept)
    with perturbed(net):
        search = _Search(net, logits, x)
        layers = [kept_finite for layer in layers if (kept_finite := search.finite(layer))]
        single = [[parameter] for layer in layers for parameter in reversed(layer)]
        zeroed = search.alone([*layers, *single])
        for layer_by_layer in (layers, single):
            zeroed = search.together(layer_by_layer) if zeroed is None else zeroed
    if zeroed is None:
        raise InputError(
            f"{type(net).__name__} cannot start in a product distribution: its logits depend on x whatever layers are "
            "set to zero. Override zero_output()."
        )
    with torch.no_grad():
        for parameter in zeroed:
            parameter.zero_()


def _layers(net: nn.Module, logits: Logits, x: Tensor, kept: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters of each module, the one called last first; those that are never called before them, as in the
    code that registers them."""
    called: dict[nn.Module, int] = {}
    count = itertools.count()
    hooks = [m.register_forward_hook(lambda m, *_: called.update({m: next(count)})) for m in net.modules()]
    with torch.no_grad():
        logits(x[:1])
    for hook in hooks:
        hook.remove()
    modules = sorted(net.modules(), key=lambda m: called.get(m, -1))
    barred = {id(parameter) for parameter in kept}
    layers = [[p for p in m.parameters(recurse=False) if id(p) not in barred] for m in reversed(modules)]
    return [layer for layer in layers if layer]


class _Search:
    def __init__(self, net: nn.Module, logits: Logits, x: Tensor):
        self.net, self.logits, self.x = net, logits, x

    def finite(self, layer: list[nn.Parameter]) -> list[nn.Parameter]:
        """Those of a layer that may be zero: not the direction of a weight of given length."""
        return layer if self.spread(layer) < math.inf else [p for p in layer if self.spread([p]) < math.inf]

    def alone(self, layers: list[list[nn.Parameter]]) -> list[nn.Parameter] | None:
        """The first layer that does it by itself; none at all where nothing needs to be done."""
        return next((layer for layer in [[], *layers] if self.does(layer)), None)

    def together(self, layers: list[list[nn.Parameter]]) -> list[nn.Parameter] | None:
        """Layers from the last on until it is done, without those that turn out not to matter."""
        for count in range(2, len(layers) + 1):
            chosen = layers[:count]
            if not self.constant([p for layer in chosen for p in layer]):
                continue
            for layer in list(chosen):
                fewer = [other for other in chosen if other is not layer]
                if self.constant([p for other in fewer for p in other]):
                    chosen = fewer
            parameters = [p for layer in chosen for p in layer]
            return parameters if self.does(parameters) else None
        return None

    def does(self, zeroed: list[nn.Parameter]) -> bool:
        return self.constant(zeroed) and (not zeroed or self.trainable(zeroed))

    def constant(self, zeroed: list[nn.Parameter]) -> bool:
        return self.spread(zeroed) <= NOISE

    @torch.no_grad()
    def spread(self, zeroed: list[nn.Parameter]) -> float:
        """How much logits change from row to row, in roundings; infinity where they are not finite."""
        with _zero(zeroed):
            values = self.logits(self.x)
        rounding = torch.finfo(values.dtype).eps * values.abs().max().clamp_min(1.0)
        return float(((values - values[:1]).abs().max() / rounding).nan_to_num(math.inf))

    def trainable(self, zeroed: list[nn.Parameter]) -> bool:
        """Whether a gradient leads away: two layers in a row that are zero stay so for ever."""
        generator = torch.Generator().manual_seed(1)
        asked = [p for p in self.net.parameters() if p.requires_grad]
        with _zero(zeroed), torch.enable_grad():
            values = self.logits(self.x)
            weights = torch.randn(values.shape, generator=generator, dtype=values.dtype).to(values.device)
            weights = weights - weights.mean(0)  # what moves all rows alike is not asked for
            if not values.requires_grad:
                return not asked
            gradients = torch.autograd.grad((values * weights).sum(), asked, allow_unused=True)
        return any(bool((g.abs() > 1e-6).any()) for g in gradients if g is not None)


@contextmanager
def _zero(parameters: list[nn.Parameter]) -> Iterator[None]:
    held = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, held):
                parameter.copy_(value)
