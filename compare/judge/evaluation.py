"""A trained network compared with the exact distribution, without training or samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from vanbench.compare.judge.distances import distances
from vanbench.exact import InputError, StateSpace, System, generator, leading_vectors, solve
from vanbench.exact.definitions.quantities import DISTRIBUTION, asked, kind_of, row_of
from vanbench.exact.definitions.quantity import CLASSICAL, NETWORKS
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.trackers.base import MAX_SUMMED, few_states

DEFAULT = ("density", "instantaneous_activity")


def evaluate(
    system: System,
    network: Autoregressive | Callable[[float], Autoregressive],
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = 1.0,
    quantities: str | Sequence[str] | None = None,
    observable: str = "activity",
) -> pd.DataFrame:
    """Compare a network ``q``, summed over all configurations, with the exact normalised ``p`` at each ``s`` and ``t``.

    Returns columns ``quantity, s, t, value, exact, error``; ``value`` is the network's. ``network``: a network, or a
    function of ``s`` that returns one. The rows are the distances of `distances` (nats; ``exact`` is their smallest
    value, 0); averages of ``quantities``, or of each local observable of an open quantum system; and the errors of ln Z
    if the evolution continued exactly from ``q`` (the projection error): ``ln_Z_rate``, ``<-|W_s|q>``, is that of its
    slope now, and (classical systems) ``ln_Z_later``, ``ln(<l|q>/<l|p>)`` with ``l`` the leading left eigenvector of
    ``W_s``, that at all late times. Both vanish at ``s = 0``.

    Raises ``InputError`` for more than 2^16 configurations, and for a network that is not normalised on them.
    """
    fields, grid = (list(dict.fromkeys(np.atleast_1d(np.asarray(given, float)).tolist())) for given in (s, times))
    quantities = (quantities,) if isinstance(quantities, str) else quantities
    if isinstance(network, type) or (isinstance(network, nn.Module) and not isinstance(network, Autoregressive)):
        raise InputError("evaluate takes a trained network, an Autoregressive, or vanbench.wrap of another module.")
    if not few_states(system):
        raise InputError(f"evaluate sums over all configurations: at most {MAX_SUMMED}, and {system.name} has more.")
    if observable not in system.observables:
        raise InputError(f"{system.name} has the observables {', '.join(system.observables)}, not {observable}.")
    kind = kind_of(system)
    rows = asked(quantities or (DEFAULT if kind == CLASSICAL else ()), (NETWORKS,), kind)
    if unfit := [row.name for row in rows if row.observe is None]:
        raise InputError(f"{unfit[0]} is not an average over configurations: leave it out.")
    learned = [probabilities(system, network if isinstance(network, Autoregressive) else network(s)) for s in fields]
    exact = solve(system, fields, grid, DISTRIBUTION, observable=observable)
    out: list[dict[str, Any]] = []
    for field, q in zip(fields, learned):
        slope = np.asarray(generator(system, field, observable).sum(axis=0)).ravel()
        left = _left(system, field, observable) if kind == CLASSICAL else None
        for t in grid:
            p = exact[(exact.s == field) & np.isclose(exact.t, t, rtol=1e-9)].sort_values("state").value.to_numpy(float)
            for name, value in distances(p, q).items():
                out.append(_row(name, field, t, value, 0.0))
            for row in rows:
                pairs = zip(*(np.atleast_1d(row.average(system, v, field)) for v in (q, p)))
                for site, (ours, theirs) in enumerate(pairs):
                    place = {"site": site} if "site" in row.axes else {}
                    out.append({**_row(row.name, field, t, ours, theirs), **place})
            out += [_row(name, field, t, v @ q, v @ p) for name, v in _local(system) if not quantities]
            out.append(_row("ln_Z_rate", field, t, slope @ q, slope @ p))
            if left is not None:
                out.append(_row("ln_Z_later", field, t, np.log((left @ q) / (left @ p)), 0.0))
    return pd.DataFrame(out)


@torch.no_grad()
def probabilities(system: System, network: Autoregressive) -> np.ndarray:
    """Of all configurations, in ``StateSpace`` order. Raises ``InputError`` for a network of another shape."""
    if (network.shape, network.local_dim) != (tuple(system.shape), system.local_dim):
        raise InputError(f"the network is for shape {network.shape} and d = {network.local_dim}, not for {system!r}.")
    device = network.site_bias.device
    chunks = (torch.from_numpy(np.ascontiguousarray(x)).to(device) for _, x in StateSpace(system).chunks(1 << 12))
    return np.concatenate([network.log_prob(x).double().exp().cpu().numpy() for x in chunks])


def _left(system: System, s: float, observable: str) -> np.ndarray:
    leading = leading_vectors(system, s, observable)
    return np.abs(leading.layout.to_states(leading.left))


def _local(system: System) -> Iterator[tuple[str, np.ndarray]]:
    """Each local observable as a vector over the states: the average over the sites of ``q(x_i)``."""
    if not system.local_observables:
        return
    x = StateSpace(system).configurations()
    for name, q in system.local_observables.items():
        yield name, np.asarray(q, float)[x].mean(1)


def _row(name: str, s: float, t: float, value: float, exact: float) -> dict[str, Any]:
    off = abs(float(value) - float(exact))
    scale = row_of(name).scale(float(exact))
    return {
        **{"quantity": name, "s": float(s), "t": float(t), "value": float(value), "exact": float(exact)},
        "error": off / scale if np.isfinite(scale) and scale > 0 else off,
    }
