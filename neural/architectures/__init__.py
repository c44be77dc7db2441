"""Networks by name; somebody's own as `exact.registry` finds it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from vanbench.exact import InputError, System
from vanbench.exact.definitions.lattice import lengths
from vanbench.exact.errors import unknown
from vanbench.exact.registry import Registry
from vanbench.neural.architectures.bernoulli import Bernoulli
from vanbench.neural.architectures.circulant import Circulant
from vanbench.neural.architectures.gated_pixelcnn import GatedPixelCNN
from vanbench.neural.architectures.graph import Graph
from vanbench.neural.architectures.gru import GRU
from vanbench.neural.architectures.gru2d import GRU2D
from vanbench.neural.architectures.made import MADE
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.architectures.mixture import Mixture
from vanbench.neural.architectures.pixelcnn import PixelCNN
from vanbench.neural.architectures.polynomial import Polynomial
from vanbench.neural.architectures.sitewise import Sitewise
from vanbench.neural.architectures.table import Table
from vanbench.neural.architectures.transformer import Transformer
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.outside.copies import duplicate

ARCHITECTURES: dict[str, type[Autoregressive]] = {
    "bernoulli": Bernoulli,
    "table": Table,
    "made": MADE,
    "sitewise": Sitewise,
    "circulant": Circulant,
    "gru": GRU,
    "gru2d": GRU2D,
    "pixelcnn": PixelCNN,
    "gated-pixelcnn": GatedPixelCNN,
    "transformer": Transformer,
    "matrix-product": MatrixProduct,
    "polynomial": Polynomial,
    "mixture": Mixture,
    "graph": Graph,
}


def _checked(name: str, cls: Any) -> type[Autoregressive]:
    kind: type = cls if isinstance(cls, type) else type(cls)
    if issubclass(kind, nn.Module) and not issubclass(kind, Autoregressive):
        raise InputError(
            f"{kind.__name__} is a plain torch module: describe its input and output, as in "
            "vanbench.wrap(MyNet, input='spins', output='logits'), and give what wrap returns (output='log_prob' where "
            "it has the methods log_prob and sample)."
        )
    if kind is not cls or not issubclass(kind, Autoregressive):
        raise InputError(f"architecture {name!r} must be a subclass of neural.Autoregressive.")
    return kind


REGISTRY = Registry("architecture", "architectures", ARCHITECTURES, _checked)
find = REGISTRY.find


def build(
    name: str | type[Autoregressive] | Autoregressive, shape: int | tuple[int, ...], local_dim: int = 2, **options: Any
) -> Autoregressive:
    """A network by name or class with its hyperparameters, or a copy of one; an unknown hyperparameter is answered with
    those that exist. Raises ``InputError``."""
    shape = lengths(shape)
    if isinstance(name, Autoregressive):
        return _fitting(name, shape, local_dim, options)
    cls = find(name)
    check_options(name, options)
    return cls(shape, local_dim=local_dim, **options)


def check_options(name: str | type[Autoregressive], options: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a hyperparameter that does not exist; for true, text, or a fraction where the default is
    of another kind; and for what is not finite. Sizes may be left to the network."""
    known = hyperparameters(find(name))
    for key, given in options.items():
        if known is not None and key not in known:
            raise unknown(f"option of {name_of(name)}", key, list(known))
        default = (known or {}).get(key, given)
        items = given if isinstance(given, list | tuple) else [given]
        if any(isinstance(item, float) and not math.isfinite(item) for item in items):
            raise InputError(f"{key} = {given}: an option of network {name_of(name)} is a finite number.")
        if isinstance(default, bool):
            wrong = not isinstance(given, bool) and "true or false"
        elif isinstance(default, float):
            wrong = any(isinstance(item, bool | str) for item in items) and "a number"
        else:
            sizes = default is None or isinstance(default, int | tuple)
            wrong = (
                sizes and any(isinstance(item, bool | str | float) for item in items) and "a whole number, or several"
            )
        if wrong:
            raise InputError(f"{key} = {given!r}: this option of {name_of(name)} must be {wrong}.")


def _fitting(net: Autoregressive, shape: tuple[int, ...], local_dim: int, options: dict[str, Any]) -> Autoregressive:
    if (net.shape, net.local_dim) != (shape, local_dim):
        raise InputError(
            f"this {type(net).__name__} is for shape {net.shape} and local dimension {net.local_dim}, the system has "
            f"{shape} and {local_dim}."
        )
    if options:
        raise InputError(f"{', '.join(options)}: a network that is already made takes no options; give its class.")
    return duplicate(net)


def name_of(architecture: str | type[Autoregressive] | Autoregressive) -> str:
    """How checkpoints and sentences call it."""
    if isinstance(architecture, str):
        return architecture
    cls = architecture if isinstance(architecture, type) else type(architecture)
    return f"{cls.__module__}:{cls.__qualname__}"


def check_dtype(net: Autoregressive, dtype: str) -> None:
    """Raise ``InputError`` for a type of numbers that the network does not claim."""
    if dtype not in net.dtypes:
        raise InputError(f"{type(net).__name__} is for {' or '.join(net.dtypes)}: take dtype {net.dtypes[0]}.")


def hyperparameters(cls: type[Autoregressive]) -> dict[str, Any] | None:
    """Names and defaults, or None for a network that takes any keyword."""
    accepted = inspect.signature(cls).parameters
    if any(p.kind == inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return None
    return {key: p.default for key, p in accepted.items() if key not in ("shape", "local_dim")}


def with_edges(architecture: Any, system: System, options: dict[str, Any]) -> dict[str, Any]:
    """A network that works along edges gets those of the system, unless others were asked for."""
    if isinstance(architecture, Autoregressive):
        return options
    known = hyperparameters(find(architecture)) or {}
    return {"edges": system.edges.tolist(), **options} if "edges" in known and len(system.edges) else options
