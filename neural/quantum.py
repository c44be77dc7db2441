"""What a network over measurement outcomes says about the spins, with standard errors, and how physical it is.

Spin values of single outcomes scatter by more than one, whatever the state. The conditional distribution of a site
given the sites before it, which an autoregressive network knows, replaces its outcome by the mean over all four
(Rao-Blackwell): the same average with a fraction of the noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError, System
from vanbench.exact.definitions.quantities import CORRELATIONS, PROFILES, row_of
from vanbench.exact.quantum.observables import distribution_purity, pairs_by_distance, smallest_eigenvalue
from vanbench.exact.statistics import standard_error
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.tables import configurations

WHOLE = 9  # spins up to which the whole state is reconstructed: 4^9 outcomes, a density matrix of 2^9
CHUNK = 1 << 14

Row = dict[str, Any]


@dataclass
class Outcomes:
    """Configurations ``x`` ``(n, n_sites)`` of ``net``; ``weights`` ``(n,)`` where they are all of them, and by how
    much each of these is off, where that is known."""

    system: System
    net: Autoregressive
    x: Tensor
    weights: Tensor | None = None
    shifts: np.ndarray | None = None

    @cached_property
    def outcome(self) -> np.ndarray:
        """One-hot, ``(n, n_sites, 4)``."""
        return np.eye(self.system.local_dim)[self.x.cpu().numpy()]

    @cached_property
    def expected(self) -> np.ndarray:
        """The distribution of each site given the sites before it, ``(n, n_sites, 4)``; one-hot where there is none."""
        if self.weights is not None:
            return self.outcome
        try:
            with torch.no_grad():
                parts = [self.net.conditionals(part).double().exp() for part in self.x.split(CHUNK)]
        except InputError:  # a mixture over site orders
            return self.outcome
        return torch.cat(parts).cpu().numpy()

    def mean(self, values: np.ndarray) -> Row:
        """Average of ``values`` ``(n,)`` with its standard error."""
        if self.weights is not None:
            known = {} if self.shifts is None else {"error_estimate": abs(float(self.shifts @ values))}
            return {"value": float(self.weights.cpu().numpy() @ values), "sampling_stderr": 0.0, **known}
        return {"value": float(values.mean()), "sampling_stderr": standard_error(values)}

    def spread(self, values: np.ndarray) -> float:
        """The standard deviation of ``values`` ``(n,)``."""
        w = np.full(len(values), 1 / len(values)) if self.weights is None else self.weights.cpu().numpy()
        return float(np.sqrt(w @ (values - w @ values) ** 2))

    @cached_property
    def _rank(self) -> np.ndarray:
        return np.argsort(self.net.order)

    def pair(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Outcomes of site ``i`` and of site ``j`` of each configuration, ``(n, 4)`` each; the later one expected."""
        if self._rank[i] < self._rank[j]:
            return self.outcome[:, i], self.expected[:, j]
        return self.expected[:, i], self.outcome[:, j]

    def rows(self, quantities: Sequence[str], whole: bool, s: float = 0.0) -> Iterator[Row]:
        """Rows of ``quantities`` at the field ``s`` and, always, the smallest eigenvalues of the reduced states.

        ``whole``: also that of the whole state, up to 9 spins.
        """
        for name, q in self.system.local_observables.items():
            spins, drawn = self.expected @ q, self.outcome @ q
            if name in quantities:
                yield {"quantity": name, **self.mean(spins.mean(1)), "spread": self.spread(drawn.mean(1))}
            if PROFILES[name] in quantities:
                for site in range(self.system.n_sites):
                    spread = self.spread(drawn[:, site])
                    yield {"quantity": PROFILES[name], **self.mean(spins[:, site]), "site": site, "spread": spread}
            if CORRELATIONS[name] in quantities:
                yield from self._correlations(CORRELATIONS[name], q)
        for row in (row for row in map(row_of, quantities) if row.observe is not None):
            values = row.values(self.system, self.x.cpu().numpy(), s)
            for site, line in enumerate(np.atleast_2d(values.T)):
                yield {"quantity": row.name, **self.mean(line), **({"site": site} if values.ndim > 1 else {})}
        yield {"quantity": "smallest_eigenvalue_one_site", **self._smallest_of_one()}
        if self.system.n_sites > 1:
            yield {"quantity": "smallest_eigenvalue_two_sites", **self._smallest_of_two()}
        if (whole or "purity" in quantities) and self.system.n_sites <= WHOLE:
            yield from self._whole_state("purity" in quantities, whole)

    def _correlations(self, name: str, q: np.ndarray) -> Iterator[Row]:
        periodic = self.system.params.get("boundary") == "periodic"
        for distance, pairs in pairs_by_distance(self.system.shape, periodic).items():
            values = np.zeros(len(self.x))
            for i, j in pairs:
                first, second = self.pair(i, j)
                values += (first @ q) * (second @ q) / len(pairs)
            yield {"quantity": name, **self.mean(values), "distance": distance}

    # -- is it a state? --------------------------------------------------------------------------------------------

    def _smallest_of_one(self) -> Row:
        """Over all sites; the standard error is that of the expectation in the eigenvector found."""
        smallest = [self._smallest([self.expected[:, i]]) for i in range(self.system.n_sites)]
        return min(smallest, key=lambda row: float(row["value"]))

    def _smallest_of_two(self) -> Row:
        pairs = combinations(range(self.system.n_sites), 2)
        return min((self._smallest(self.pair(i, j)) for i, j in pairs), key=lambda row: float(row["value"]))

    def _smallest(self, outcomes: Sequence[np.ndarray]) -> Row:
        """Of the state of one site or two, from outcome distributions ``(n, 4)`` of each configuration."""
        assert self.system.quantum is not None
        w = np.full(len(self.x), 1 / len(self.x)) if self.weights is None else self.weights.cpu().numpy()
        dual = self.system.quantum.povm.dual
        if len(outcomes) == 1:
            operators, joint = dual, w @ outcomes[0]
        else:
            operators = np.einsum("aij,bkl->abikjl", dual, dual).reshape(4, 4, 4, 4)
            joint = (outcomes[0] * w[:, None]).T @ outcomes[1]
        vector = np.linalg.eigh(np.tensordot(joint, operators, joint.ndim))[1][:, 0]
        q = np.einsum("i,...ij,j->...", vector.conj(), operators, vector).real
        if len(outcomes) == 1:
            return self.mean(outcomes[0] @ q)
        return self.mean(((outcomes[0] @ q) * outcomes[1]).sum(1))

    def _whole_state(self, purity: bool, eigenvalue: bool) -> Iterator[Row]:
        assert self.system.quantum is not None
        povm, n = self.system.quantum.povm, self.system.n_sites
        with torch.no_grad():
            p = self.net.log_prob_all(configurations(n, 4, self.x.device)).double().exp().cpu().numpy()
        if purity:
            yield {"quantity": "purity", "value": distribution_purity(p, povm), "sampling_stderr": 0.0}
        if eigenvalue:
            value = smallest_eigenvalue(povm.density_matrix(p))
            yield {"quantity": "smallest_eigenvalue", "value": value, "sampling_stderr": 0.0}
