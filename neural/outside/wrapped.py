"""Other people's networks: any torch module that maps configurations to conditionals becomes an `Autoregressive`.

    Net = vanbench.wrap(PixelCNN, layout="image", output="p_up")

``wrap`` translates what goes in and what comes out, and finds the order of the sites by changing them one by one.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.outside import probe
from vanbench.neural.outside.copies import duplicate

INPUTS = ("spins", "bits", "onehot", "tokens")
LAYOUTS = ("sites", "image")
OUTPUTS = ("logits", "p", "logit_up", "p_up")
CHANNELS = ("none", "first", "last", "flat")
GIVEN = ("shape", "local_dim", "n_sites")  # what a factory may ask for by name
NORMALISERS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
FLOATS = {"float64": torch.float64, "float32": torch.float32}


def wrap(
    factory: Callable[..., nn.Module] | nn.Module,
    *,
    input: str = "spins",
    layout: str = "sites",
    output: str = "logits",
    channels: str | None = None,
    order: str | Sequence[int] | Callable[[tuple[int, ...]], Sequence[int]] = "auto",
    shift: bool = False,
    local_dims: Sequence[int] | None = (2,),
    dimensions: Sequence[int] | None = None,
    square: bool = False,
    dtypes: Sequence[str] = ("float64", "float32"),
    name: str | None = None,
) -> type[Autoregressive]:
    """A class like every other network's, ``Net(shape, local_dim=2, **hyperparameters)``, around a plain torch module.

    factory
        makes the module: it is given, by name, what it asks for of ``shape``, ``local_dim`` and ``n_sites``, or the
        shape as its first argument where it asks for none of them; its other arguments have defaults and are the
        hyperparameters. Or the module itself, for the one shape that it is made for.
    input
        ``spins`` (-1 to 1), ``bits`` (0, 1, ...), ``onehot``, or ``tokens`` (int64).
    layout
        ``sites``, ``(batch, n_sites)``, or ``image``, ``(batch, *shape)``.
    channels
        where the axis of channels stands in the input: ``none``, ``first`` (after the batch), ``last``, or ``flat``,
        ``(batch, n_sites * d)``. By default first for images and last for one-hot sites; spins and bits as sites, and
        tokens, have none.
    output
        ``logits`` or ``p`` of each value, on the axis after the batch or the last one, which is found out;
        ``logit_up`` or ``p_up`` of value 1, for two values. Of several outputs the first is taken, or ``.logits``.
        More values than ``local_dim`` (a start token) are cut off.
    order
        ``auto``: found by changing one site after another under random parameters. A sequence of sites, or a function
        of the shape, is held to it.
    shift
        True where the output at a site is the prediction for the next one, as of language models.
    local_dims, dimensions, square, dtypes
        the network's limits: local dimensions (None: any) and dimensions of the lattice (by default 2 for images, else
        any), equal lengths, ``float64`` or ``float32`` where it makes tensors of one type.

    Dropout is off and running averages are not updated: a density is no random number and does not learn from a batch.
    Raises ``InputError`` for unknown words here, and, when a network is made, for a module that does not take such
    input, gives something else, or leaks: the sites that see what they must not are named.
    """
    for word, value, known in (("input", input, INPUTS), ("layout", layout, LAYOUTS), ("output", output, OUTPUTS)):
        if value not in known:
            raise unknown(word, value, list(known))
    if channels is not None and channels not in CHANNELS:
        raise unknown("channels", channels, list(CHANNELS))
    if channels == "flat" and (layout == "image" or input == "tokens"):
        raise InputError("channels='flat' is for layout='sites', and tokens have no channels.")
    for dtype in dtypes:
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, list(FLOATS))
    if not dtypes:
        raise InputError("dtypes is empty: a network is for float64, float32 or both.")
    if output in ("logit_up", "p_up") and (local_dims is None or set(local_dims) != {2}):
        raise InputError(f"output={output!r} is of value 1 against 0: it takes local_dims=(2,).")
    if isinstance(order, str) and order != "auto":
        raise InputError(f"order={order!r}: it is 'auto', a sequence of sites, or a function of the shape.")
    own: str = name or getattr(factory, "__name__", "") or type(factory).__name__
    images = layout == "image"
    make, hyperparameters = _maker(factory, own)
    body = {
        "__module__": sys._getframe(1).f_globals.get("__name__", __name__),
        "__doc__": f"{own}, wrapped.",
        "__signature__": inspect.Signature([*_HEAD, *hyperparameters]),
        "make": staticmethod(make),
        "form": _Form(input, images, output, channels or _channels(input, images), shift),
        "asked_order": order if isinstance(order, str) or not callable(order) else staticmethod(order),
        "dimensions": tuple(dimensions or ((2,) if images else (1, 2, 3))),
        "local_dims": None if local_dims is None else tuple(local_dims),
        "square": square,
        "dtypes": tuple(dtypes),
    }
    return type("Wrapped" if own == "<lambda>" else own, (Wrapped,), body)


_HEAD = [
    inspect.Parameter("shape", inspect.Parameter.POSITIONAL_OR_KEYWORD),
    inspect.Parameter("local_dim", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=2),
]


def _channels(input: str, images: bool) -> str:
    if images:
        return "none" if input == "tokens" else "first"
    return "last" if input == "onehot" else "none"


def _maker(factory: Any, name: str) -> tuple[Callable[..., nn.Module], list[inspect.Parameter]]:
    """``make(shape, local_dim, **hyperparameters)`` and the hyperparameters, each with its default."""
    if isinstance(factory, nn.Module):
        return lambda shape, local_dim: duplicate(factory), []
    if not callable(factory):
        raise InputError(f"wrap takes a torch module, its class or a function that makes it, not {factory!r}.")
    try:
        accepted = list(inspect.signature(factory).parameters.values())
    except ValueError as error:
        raise InputError(f"{name} does not say what it takes: give a function of the shape.") from error
    named = [p.name for p in accepted if p.name in GIVEN]
    first = [] if named or not accepted or accepted[0].kind is inspect.Parameter.VAR_KEYWORD else accepted[:1]
    rest = [p for p in accepted if p.name not in named and p not in first]
    rest = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in rest if p.kind not in _VARIADIC]
    without = [p.name for p in rest if p.default is inspect.Parameter.empty]
    if without:
        raise InputError(
            f"{name} needs {', '.join(without)}, which has no default: give a function of the shape, as in "
            f"wrap(lambda shape: {name}(...))."
        )

    def make(shape: tuple[int, ...], local_dim: int, **hyperparameters: Any) -> nn.Module:
        known = {"shape": shape, "local_dim": local_dim, "n_sites": int(torch.Size(shape).numel())}
        return factory(*([shape] if first else []), **{key: known[key] for key in named}, **hyperparameters)

    return make, rest


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class _Form:
    """What a module takes and gives; see `wrap`."""

    input: str
    images: bool
    output: str
    channels: str
    shift: bool

    def encoded(self, x: Tensor, shape: tuple[int, ...], d: int, dtype: torch.dtype) -> Tensor:
        """Configurations ``(batch, n_sites)`` as the module takes them."""
        if self.input == "tokens":
            values = x.long()
        elif self.input == "onehot":
            values = (x[..., None] == torch.arange(d, device=x.device)).to(dtype)
        else:
            values = x.to(dtype) if self.input == "bits" else 2 * x.to(dtype) / (d - 1) - 1
        if self.images:
            values = values.unflatten(1, shape)
        if self.input != "onehot":
            return {"first": values.unsqueeze(1), "last": values.unsqueeze(-1)}.get(self.channels, values)
        if self.channels == "first":
            return values.movedim(-1, 1)
        return values.flatten(1) if self.channels == "flat" else values

    def decoded(self, out: Any, rows: int, n: int, d: int, last: bool) -> Tensor:
        """The module's output as logits ``(batch, n_sites, d)``; ``last``: values stand on the last axis, or first."""
        out = _tensor(out)
        up = self.output.endswith("_up")
        values = 1 if up else _values(out, rows, n, d)
        if out.shape[:1] != (rows,) or out.numel() != rows * n * values or not (values == 1 if up else values >= d):
            wanted = f"({rows}, {n})" if up else f"({rows}, {n}, {d})"
            raise InputError(f"it gives {tuple(out.shape)} for a batch of {rows}, where {wanted} is expected.")
        if up:
            one = out.reshape(rows, n)
            pair = torch.stack([torch.zeros_like(one) if self.output == "logit_up" else 1 - one, one], -1)
            return pair if self.output == "logit_up" else _log(pair)
        table = out.reshape(rows, n, values) if last else out.reshape(rows, values, n).mT
        return (_log(table) if self.output == "p" else table)[..., :d]


def _tensor(out: Any) -> Tensor:
    """Of an output that holds more, the logits: its attribute or entry of that name, else the first."""
    out = getattr(out, "logits", out)
    if isinstance(out, dict):
        out = out.get("logits", out)
    if isinstance(out, tuple | list) and out:
        out = out[0]
    if not isinstance(out, Tensor):
        raise InputError(f"it gives {type(out).__name__}, where a tensor is expected.")
    return out


def _values(out: Tensor, rows: int, n: int, d: int) -> int:
    return out.numel() // (rows * n) if rows else d


def _log(p: Tensor) -> Tensor:
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()


class Wrapped(Autoregressive):
    """The base of what `wrap` makes: ``net``, the module, between an encoder and a decoder."""

    make: ClassVar[Callable[..., nn.Module]]
    form: ClassVar[_Form]
    asked_order: ClassVar[Any] = "auto"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, **hyperparameters: Any):
        super().__init__(shape, local_dim)
        self.net = self.make(self.shape, local_dim, **hyperparameters)
        if not isinstance(self.net, nn.Module):
            raise InputError(f"{type(self).__name__}: the factory gives {type(self.net).__name__}, no torch module.")
        _fix(self.net)
        self._last = True  # values on the last axis of the output
        self.train()
        self._masked: list[str] = []
        self._find_masks()
        self._find_order()

    def train(self, mode: bool = True) -> Wrapped:
        """As of every module, but the wrapped one is always evaluated, without dropout."""
        super().train(mode)
        if hasattr(self, "net"):
            self.net.eval()
            for module in self.net.modules():
                if isinstance(module, nn.RNNBase):  # whose backward on CUDA wants the training mode
                    module.train()
        return self

    def logits(self, x: Tensor) -> Tensor:
        values = self._raw(x, self._last)
        if not self.form.shift:
            return values
        out = torch.zeros_like(values)  # the bias of the first site is its logits
        out[:, self.order[1:]] = values[:, self.order[:-1]]
        return out

    def _raw(self, x: Tensor, last: bool) -> Tensor:
        given = self.form.encoded(x, self.shape, self.local_dim, self.site_bias.dtype)
        if self._masked:
            own = dict(self.net.named_parameters())
            masked = {name: own[name] * self.get_buffer(f"_mask_{k}") for k, name in enumerate(self._masked)}
            out = torch.func.functional_call(self.net, masked, (given,))
        else:
            out = self.net(given)
        return self.form.decoded(out, len(x), self.n_sites, self.local_dim, last).to(self.site_bias.dtype)

    def _find_masks(self) -> None:
        """Masks that a forward pass multiplies into ``weight.data``, which gradients do not see: here they do."""
        with torch.no_grad(), probe.perturbed(self.net):
            before = {name: parameter.clone() for name, parameter in self.net.named_parameters()}
            try:
                self._raw(torch.zeros(1, self.n_sites, dtype=torch.int8), self._last)
            except Exception:  # `_find_order` says why
                return
            for name, parameter in self.net.named_parameters():
                same = parameter == before[name]
                if not same.all() and not parameter[~same].any():
                    self.register_buffer(f"_mask_{len(self._masked)}", same.to(parameter.dtype), persistent=False)
                    self._masked.append(name)

    def _find_order(self) -> None:
        dtype = FLOATS[self.dtypes[0]]
        held = {key: value.clone() for key, value in self.state_dict().items()}
        before = self.site_bias.dtype
        self.to(dtype)
        try:
            readings = self._readings()
        finally:
            self.to(before)
            self.load_state_dict(held)  # what was rounded, or counted on the way
        for last, sees in readings:
            order = self._allowed(sees)
            if order is not None:
                self.order, self._last = order, last
                return
        right = [sees for _, sees in readings if probe.order_of(sees) is not None]  # in another order than asked
        sees = [*right, readings[0][1]][0]
        raise InputError(_leak(type(self).__name__, sees, self.form, self._wanted(), self.net))

    def _readings(self) -> list[tuple[bool, Tensor]]:
        """For each axis that the values may stand on: which sites see which."""
        choices = (True,) if self.form.output.endswith("_up") else (True, False)
        out = []
        for last in choices:
            sees = torch.zeros(self.n_sites, self.n_sites, dtype=torch.bool)
            for seed in range(probe.DRAWS):
                with probe.perturbed(self, seed):
                    sees |= self._tried(partial(self._raw, last=last), seed)
            out.append((last, sees))
        return out

    def _tried(self, logits: probe.Logits, seed: int) -> Tensor:
        form, device = self.form, self.site_bias.device
        try:
            return probe.seen(logits, self.n_sites, self.local_dim, device, seed)
        except Exception as error:  # whatever somebody's module does with what it does not take
            x = torch.zeros(1, self.n_sites, device=device)
            given = form.encoded(x, self.shape, self.local_dim, self.site_bias.dtype)
            what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {_first_line(error)}."
            raise InputError(
                f"{type(self).__name__} does not work on {given.dtype} of shape (batch, "
                f"{', '.join(map(str, given.shape[1:]))}), as input={form.input!r}, layout="
                f"{'image' if form.images else 'sites'!r}, channels={form.channels!r} say: {what}"
                + (DTYPES_HINT if _about_types(error) and len(self.dtypes) > 1 and form.input != "tokens" else "")
            ) from error

    def _wanted(self) -> list[int] | None:
        """The order that is asked for; None where it is to be found."""
        asked = type(self).asked_order
        if isinstance(asked, str):
            return None
        order = [int(site) for site in (asked(self.shape) if callable(asked) else asked)]
        if sorted(order) != list(range(self.n_sites)):
            raise InputError(f"{type(self).__name__}: order must name each of the {self.n_sites} sites once.")
        return order

    def _allowed(self, sees: Tensor) -> list[int] | None:
        """The order asked for, where the network keeps to it, or the one it follows; None where there is none."""
        wanted = self._wanted()
        sees = sees & ~torch.eye(self.n_sites, dtype=torch.bool) if self.form.shift else sees
        if wanted is None:
            return probe.order_of(sees)
        return None if sees[wanted][:, wanted].triu().any() else wanted


DTYPES_HINT = " If it makes tensors of float32 whatever it is given, declare dtypes = ('float32',)."


def _about_types(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("dtype", "scalar type", "float", "double"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")


def _fix(net: nn.Module) -> None:
    """No dropout inside recurrent layers; parameters that are not to be trained become buffers."""
    for module in net.modules():
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())


def _leak(name: str, sees: Tensor, form: _Form, wanted: list[int] | None, net: nn.Module) -> str:
    """Why there is no order, in one sentence, and what may be meant."""
    if form.shift:
        sees = sees & ~torch.eye(len(sees), dtype=torch.bool)
    if wanted is not None:
        found = probe.order_of(sees)
        rank = {site: k for k, site in enumerate(wanted)}
        i, j = next((i, j) for i, j in sees.nonzero().tolist() if rank[i] <= rank[j])
        advice = "" if found is None else f" It follows the order {found}: order='auto' takes it."
        return f"{name} leaks: site {i} sees site {j}, which does not come before it in the order given.{advice}"
    if any(isinstance(module, NORMALISERS) for module in net.modules()):
        why = "a normalisation over sites or rows mixes them all"
    elif probe.shifted(sees) is not None:
        i = int(sees.diagonal().nonzero()[0])
        return (
            f"{name} leaks: site {i} sees itself, and each site the earlier ones. If its output at a site predicts the "
            "next one, say shift=True; else a mask is inclusive where it must be strict."
        )
    elif sees.all():
        why = "there is no mask"
    else:
        why = "a mask is wrong, or input and output are laid out differently (transposed axes, another channels)"
    return f"{name} leaks: {_cycle(sees)}, so that there is no order of the sites: {why}."


def _cycle(sees: Tensor) -> str:
    if sees.diagonal().any():
        return f"site {int(sees.diagonal().nonzero()[0])} sees itself"
    mutual = (sees & sees.T).nonzero()
    if len(mutual):
        i, j = mutual[0].tolist()
        return f"sites {i} and {j} see each other"
    return "some sites see each other along a circle"
