"""The contract of an autoregressive network as a program: construction, types, state, seeds, batches, files, devices.

As in ``conform_checks``: each function is silent, or raises ``Violation`` or ``Skip``.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from vanbench.compare.conform.case import Case, Skip, Violation, claimed, restrict, rounding
from vanbench.compare.conform.checks import _gap
from vanbench.neural import Autoregressive, Ensemble
from vanbench.neural.backend.seeds import seed_torch
from vanbench.neural.outside.copies import lost

RARE_SEED = 918_273_645  # one that no network sets
SINGLE = 1e-4  # float32: 24 bits in sums of a few dozen logarithms of order ten


def check_construction(case: Case) -> None:
    """``MyNet(shape, local_dim=d)`` has a lattice, an order, and parameters that training can move."""
    net = case.net()
    tried = f"MyNet({case.shape}, local_dim={case.d})"
    if (net.shape, net.local_dim) != (case.shape, case.d):
        raise Violation(tried, f"it has shape {net.shape} and local_dim {net.local_dim}", "pass both on to super()")
    if sorted(net.order) != list(range(case.n_sites)):
        raise Violation(tried, f"order is {net.order}", "order must hold every site once")


def check_types(case: Case) -> None:
    """Shapes and dtypes of logits, log_prob and samples, in the types it claims, for int8 and int64 configurations."""
    net = case.net()
    for dtype in claimed(net):
        net = case.net(dtype=dtype)
        for rows in (1, 5):
            for integer in (torch.int8, torch.int64):
                _check_values(net, case, case.configurations(rows).to(integer), dtype)
        one_value = torch.arange(case.d, dtype=torch.int8)[:, None].expand(-1, case.n_sites).contiguous()
        _check_values(net, case, one_value, dtype)
    x = net.sample(4)
    if x.dtype != torch.int8 or x.shape != (4, case.n_sites) or not ((x >= 0) & (x < case.d)).all():
        raise Violation(
            "sample(4)",
            f"{tuple(x.shape)} {x.dtype}, values {x.min().item()} to {x.max().item()}",
            f"samples are int8 of shape (4, {case.n_sites}) with values 0 to {case.d - 1}",
        )


def _check_values(net: Autoregressive, case: Case, x: Tensor, dtype: torch.dtype) -> None:
    tried = f"{x.dtype} configurations of shape {tuple(x.shape)}, parameters {dtype}"
    before = x.clone()
    calls: list[tuple[str, Callable[[Tensor], Tensor], tuple[int, ...]]] = [("log_prob", net.log_prob, (len(x),))]
    if type(net)._log_prob_unrestricted is Autoregressive._log_prob_unrestricted:  # a mixture has no logits
        calls.insert(0, ("logits", net.logits, (len(x), case.n_sites, case.d)))
    for name, call, shape in calls:
        value = call(x)
        if tuple(value.shape) != shape:
            raise Violation(f"{name} of {tried}", f"shape {tuple(value.shape)}, not {shape}", f"{name} returns {shape}")
        if value.dtype != dtype:
            raise Violation(
                f"{name} of {tried}",
                f"dtype {value.dtype}",
                "is a constant made in logits without dtype? Use self.encode(x), or register_buffer",
            )
        if not torch.isfinite(value).all():
            raise Violation(f"{name} of {tried}", "a value is not finite", "a logarithm of 0, or a division?")
        if not torch.equal(x, before):
            raise Violation(f"{name} of {tried}", "the configurations were changed", "work on a copy: x.clone()")


def check_randomness(case: Case) -> None:
    """``log_prob`` is a function of ``x``: it draws no random numbers, in the training mode that trackers use."""
    net = case.net()
    x = net.sample(6, torch.Generator().manual_seed(1))
    first, same, other = (_seeded(net, x, seed) for seed in (1, 1, 2))
    if torch.equal(first, same) and not torch.equal(first, other):
        dropout = [name for name, module in net.named_modules() if isinstance(module, _DropoutNd)]
        raise Violation(
            "log_prob(x) twice under different global seeds",
            f"ln p of the same x differs by up to {_gap(first, other):.2g}",
            f"dropout is left on ({', '.join(dropout)}): a density must not be random, remove it"
            if dropout
            else "random numbers are drawn inside logits (functional dropout, noise): remove them",
        )


def check_hidden_state(case: Case) -> None:
    """No call changes the results of later calls: a network counts, caches and shares nothing."""
    net = case.net()
    x = net.sample(6, torch.Generator().manual_seed(1))
    stored = _tensors(net)
    expected = _seeded(net, x, 1)
    with torch.random.fork_rng(devices=[]):
        seed_torch(RARE_SEED)
        before = torch.get_rng_state()
        net.log_prob(x)
        drawn = not torch.equal(torch.get_rng_state(), before)
    if drawn:
        raise Violation(
            "the global random state before and after log_prob",
            "it changed",
            "torch.manual_seed is called, or random numbers are drawn, inside logits: every other draw depends on it",
        )
    other = case.configurations(9)

    def elsewhere() -> None:
        foreign = Case(case.make, (*case.shape[:-1], case.shape[-1] + 1), case.d).net(seed=7)
        foreign.log_prob(foreign.sample(2))

    for what, call in (
        ("log_prob of the same x", lambda: None),
        ("log_prob of another batch", lambda: net.log_prob(other)),
        ("sample", lambda: net.sample(7)),
        ("a network of another shape was used", elsewhere),
    ):
        call()
        samples = _seeded(net, x, 1)
        if not torch.equal(samples, expected):
            raise Violation(
                f"log_prob(x) before and after: {what}",
                f"ln p of the same x differs by up to {_gap(samples, expected):.2g}",
                "something outside the parameters changes: a counter or cache on self, the class or the module?",
            )
    changed = [name for name, value in _tensors(net).items() if not torch.equal(value, stored[name])]
    if changed:
        raise Violation(
            "the state_dict before and after log_prob and sample",
            f"{changed[0]!r} changed",
            "running statistics of a BatchNorm? A density must not depend on earlier batches: use LayerNorm",
        )
    net.eval()
    samples = _seeded(net, x, 1)
    if not torch.equal(samples, expected):
        raise Violation(
            "log_prob(x) in training and after eval()",
            f"ln p of the same x differs by up to {_gap(samples, expected):.2g}",
            "logits looks at self.training: it must be one density in training and in evaluation",
        )


def check_seeds(case: Case) -> None:
    """The seed alone fixes the network, and the generator alone fixes the samples; other seeds give others."""
    net, twin = case.net(5), case.net(5)
    values = _tensors(twin)
    for name, value in _tensors(net).items():
        if not torch.equal(value, values[name]):
            raise Violation(
                "torch.manual_seed(5); MyNet(...) twice",
                f"{name!r} differs between the two",
                "parameters are drawn from a generator that torch.manual_seed does not set (numpy, random)",
            )
    samples = []
    for own, outside in ((5, 1), (5, 2), (6, 1)):
        with torch.random.fork_rng(devices=[]):
            seed_torch(outside)
            samples.append(net.sample(60, torch.Generator().manual_seed(own)))
    if not torch.equal(samples[0], samples[1]):
        raise Violation(
            "sample(60, generator) twice with generators of one seed, under different global seeds",
            f"{int((samples[0] != samples[1]).any(1).sum())} of 60 configurations differ",
            "sample or draw uses the global random state: draw only from the generator (or the uniforms) it is given",
        )
    if torch.equal(samples[0], samples[2]):
        raise Violation("sample with generators of seeds 5 and 6", "the same samples", "the generator is not used")


def check_batches(case: Case) -> None:
    """A row's ``ln p`` does not depend on the rows beside it; batches of 1 and of 0 work."""
    net = case.net()
    x = net.sample(7, torch.Generator().manual_seed(1))
    whole = net.log_prob(x)
    alone = torch.cat([net.log_prob(row[None]) for row in x])
    turned = net.log_prob(x.flip(0)).flip(0)
    for what, values in (("each row alone", alone), ("the rows in reverse", turned)):
        if not torch.allclose(values, whole, rtol=rounding(net), atol=rounding(net)):
            raise Violation(
                f"log_prob of a batch of 7 and of {what}",
                f"ln p differs by up to {_gap(values, whole):.2g}",
                "rows are mixed: BatchNorm, a softmax or mean over the batch axis, or a reshape that swaps axes?",
            )
    wide = net.log_prob(x.long())
    if not torch.allclose(wide, whole, rtol=rounding(net), atol=rounding(net)):
        raise Violation(
            "log_prob of the same configurations as int8 and as int64",
            f"ln p differs by up to {_gap(wide, whole):.2g}",
            "does arithmetic in the type of the configurations overflow, or does something depend on it?",
        )
    if net.log_prob(x[:0]).shape != (0,):
        raise Violation("log_prob of no rows", f"shape {tuple(net.log_prob(x[:0]).shape)}", "is a batch size fixed?")


def check_save_and_load(case: Case) -> None:
    """``state_dict``, read back with ``weights_only=True`` into a fresh network, gives the same density and samples."""
    net, fresh = case.net(seed=1), case.net(seed=2)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    try:
        fresh.load_state_dict(torch.load(buffer, weights_only=True))
    except Exception as error:
        raise Violation(
            "torch.save(state_dict); torch.load(weights_only=True); load_state_dict",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            "the state_dict may hold tensors and plain data only, with shapes that the constructor alone determines",
        ) from error
    x = net.sample(9, torch.Generator().manual_seed(1))
    gap = _gap(fresh.log_prob(x), net.log_prob(x))
    if gap or not torch.equal(fresh.sample(9, torch.Generator().manual_seed(1)), x):
        raise Violation(
            "a network saved and loaded into one made under another seed",
            f"ln p differs by up to {gap:.2g}" if gap else "the samples differ",
            "something random in __init__ (a mask, an order, fixed weights) is not a parameter or persistent buffer",
        )


def check_copies(case: Case) -> None:
    """Copies in an ``Ensemble`` (one a counting field, through ``functional_call``) are the networks they hold."""
    net = case.net()
    try:
        missing = lost(net, case.configurations(4))
    except (RuntimeError, NotImplementedError) as error:  # copy.deepcopy refuses a tensor that is not a parameter
        raise Violation("copy.deepcopy of a network after a call", str(error).splitlines()[0], _KEPT) from error
    if missing:
        raise Violation(
            "gradients of log_prob of a copy with parameters of its own",
            f"{', '.join(map(repr, missing[:3]))} have none: on copies, which trackers move, they would never change",
            "a function or an object outside the modules holds the original layers: call them through self",
        )
    ensemble = Ensemble(net, 3)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for p in ensemble.parameters.values():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    x = ensemble.sample(10, torch.Generator().manual_seed(1))
    together = ensemble.log_prob(x)
    for r in range(3):
        alone = ensemble.copy_of(r)
        gap = _gap(together[r], alone.log_prob(x[r]))
        if not gap <= rounding(net):
            raise Violation(
                f"log_prob of copy {r} in an Ensemble of 3 and of the same network alone",
                f"ln p differs by up to {gap:.2g}",
                _KEPT,
            )


_KEPT = "a tensor derived from parameters is kept on self: compute it anew in every call"


def check_single_precision(case: Case) -> None:
    """float32 gives the float64 density to its own precision."""
    double, single = case.net(), case.net()
    if len(claimed(double)) < 2:
        raise Skip(f"it claims {double.dtypes[0]} alone")
    single = restrict(single.float(), case.kind)
    x = double.sample(20, torch.Generator().manual_seed(1))
    gap = _gap(single.log_prob(x).double(), double.log_prob(x))
    if not gap <= SINGLE:
        raise Violation(
            "the same parameters in float32 and float64",
            f"ln p differs by up to {gap:.2g}",
            "large terms cancel: is a probability formed and its logarithm taken, or a logit very large?",
        )


def check_cuda(case: Case) -> None:
    """CUDA gives the density of the CPU, and samples on the support."""
    if not torch.cuda.is_available():
        raise Skip("no CUDA device here")
    net = case.net()
    x = net.sample(20, torch.Generator().manual_seed(1))
    expected = net.log_prob(x)
    there = restrict(net.to("cuda"), case.kind)
    gap = _gap(there.log_prob(x.to("cuda")).cpu(), expected)
    if not gap <= rounding(net):
        raise Violation("log_prob on CUDA and CPU", f"ln p differs by up to {gap:.2g}", "is a tensor left behind?")
    drawn = there.sample(20, torch.Generator("cuda").manual_seed(1))
    if drawn.device.type != "cuda" or not case.allowed(drawn.cpu()).all():
        raise Violation("sample on CUDA", f"{drawn.device}, or off the support", "make new tensors on x.device")


def _tensors(net: Autoregressive) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items() if isinstance(value, Tensor)}


def _seeded(net: Autoregressive, x: Tensor, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        seed_torch(seed)
        return net.log_prob(x).detach()
