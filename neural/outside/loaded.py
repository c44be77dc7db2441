"""Trained networks from a file, made ready for a system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vanbench.exact import System
from vanbench.neural import architectures
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.backend import weights


def networks(
    system: System, architecture: str | type[Autoregressive], state: str | Path, options: dict[str, Any] | None = None
) -> Callable[[float], Autoregressive]:
    """The network of a counting field, in float64: ``architecture`` with the parameters in the file ``state``.

    Raises ``InputError`` for a file that cannot be read, and for parameters that are not of this network.
    """
    held = weights.read(Path(state))

    def network(s: float) -> Autoregressive:
        net = architectures.build(architecture, system.shape, system.local_dim, **(options or {})).double()
        net.restrict(system.pinned, system.support)
        own = weights.of_field(held, s)
        if weights.BIAS in own and system.initial.ndim == 2:
            net.initialise(system.initial)  # which fixes, beside parameters, how a sum of values is completed
        return weights.put(net, own)

    return network
