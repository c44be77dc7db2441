"""Other people's networks: any torch module that maps configurations to conditionals becomes an `Autoregressive`.

    Net = vanbench.wrap(PixelCNN, layout="image", output="p_up")

``wrap`` converts inputs and outputs, and finds the order of the sites by changing them one by one.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.outside.copies import duplicate
from vanbench.neural.outside.densities import Density
from vanbench.neural.outside.forms import CHANNELS, INPUTS, LAYOUTS, OUTPUTS, Form
from vanbench.neural.outside.from_jax import is_jax
from vanbench.neural.outside.wrapped import FLOATS, Wrapped

GIVEN = ("shape", "local_dim", "n_sites")  # what a factory may ask for by name


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

    - ``factory``: makes the module. It gets, by name, those of ``shape``, ``local_dim`` and ``n_sites`` that are among
      its arguments, or else the shape as its first argument; its other arguments have defaults and are the
      hyperparameters. It may also be the module itself, for the one shape that it is made for.
    - ``input``: ``spins`` (-1 to 1), ``bits`` (0, 1, ...), ``onehot``, or ``tokens`` (int64).
    - ``layout``: ``sites``, ``(batch, n_sites)``, or ``image``, ``(batch, *shape)``.
    - ``channels``: the place of the axis of channels in the input: ``none``, ``first`` (after the batch), ``last``, or
      ``flat``, ``(batch, n_sites * d)``. By default first for images and last for one-hot sites; spins and bits as
      sites, and tokens, have none.
    - ``output``: ``logits`` or ``p`` of each value, on the axis after the batch or on the last one, which is detected;
      ``logit_up`` or ``p_up`` of value 1, for two values. Of several outputs the first is taken, or ``.logits``. Values
      beyond ``local_dim`` (a start token) are cut off. ``log_prob`` for a density without conditionals (a mixture, a
      flow, an average over a group): the module then has other methods, see `densities.Density`.
    - ``order``: ``auto`` finds it by changing one site after another under random parameters. A sequence of sites, or
      a function of the shape, is checked in the same way.
    - ``shift``: True if the output at a site is the prediction for the next one, as in language models.
    - ``local_dims``, ``dimensions``, ``square``, ``dtypes``: the network's limits: local dimensions (None: any),
      dimensions of the lattice (by default 2 for images, else any), equal lengths, and ``float64`` or ``float32`` if
      it makes tensors of one type only.

    Dropout is off and running averages are not updated: a density is not random and does not learn from a batch.
    Raises ``InputError`` for unknown words here and, when a network is made, for a module that does not take such
    input, gives other output, or leaks; the message names the sites that see what they must not.
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
    if output == "log_prob" and (shift or not isinstance(order, str)):
        raise InputError("output='log_prob' is a density of all sites together: it takes no order and no shift.")
    if output in ("logit_up", "p_up") and (local_dims is None or set(local_dims) != {2}):
        raise InputError(f"output={output!r} compares value 1 with 0: it takes local_dims=(2,).")
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
        "form": Form(input, images, output, channels or _channels(input, images), shift),
        "asked_order": order if isinstance(order, str) or not callable(order) else staticmethod(order),
        "dimensions": tuple(dimensions or ((2,) if images else (1, 2, 3))),
        "local_dims": None if local_dims is None else tuple(local_dims),
        "square": square,
        "dtypes": tuple(dtypes),
    }
    base = Density if output == "log_prob" else Wrapped
    return type("Wrapped" if own == "<lambda>" else own, (base,), body)


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
    if is_jax(factory):
        return lambda shape, local_dim: factory, []
    if not callable(factory):
        raise InputError(f"wrap takes a torch module, its class or a function that makes it, not {factory!r}.")
    try:
        accepted = list(inspect.signature(factory).parameters.values())
    except ValueError as error:
        raise InputError(f"{name} has no signature: give a function of the shape.") from error
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
