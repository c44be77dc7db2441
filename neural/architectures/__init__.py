"""Networks by name; somebody's own as `exact.registry` finds it."""

from __future__ import annotations

import inspect
from typing import Any

from vanbench.exact import InputError
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
    if not (isinstance(cls, type) and issubclass(cls, Autoregressive)):
        raise InputError(f"architecture {name!r} must be a subclass of neural.Autoregressive.")
    return cls


REGISTRY = Registry("architecture", "architectures", ARCHITECTURES, _checked)
find = REGISTRY.find


def build(name: str, shape: tuple[int, ...], local_dim: int = 2, **options: Any) -> Autoregressive:
    """A network with its hyperparameters; an unknown one is answered with those that exist."""
    cls = find(name)
    known = hyperparameters(cls)
    for key in options:
        if known is not None and key not in known:
            raise unknown(f"option of {name}", key, list(known))
    return cls(shape, local_dim=local_dim, **options)


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
