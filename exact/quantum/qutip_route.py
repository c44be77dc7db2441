"""The same models in QuTiP, built by it from Pauli matrices: an independent reference. Imported lazily."""

from __future__ import annotations

from typing import Any

import numpy as np

from vanbench.exact.definitions.lindblad import Lindblad, LocalOperator
from vanbench.exact.definitions.pauli import pauli_strings
from vanbench.exact.errors import InputError, optional

TIGHT = {"method": "vern9", "rtol": 1e-12, "atol": 1e-14, "nsteps": 1_000_000, "progress_bar": ""}


def operators(model: Lindblad) -> tuple[Any, list[Any]]:
    """QuTiP ``(H, [sqrt(gamma_k) G_k])``."""
    qutip = optional("qutip", "method 'qutip'")

    h = sum((_operator(part, model.n_sites) for part in model.hamiltonian), 0 * qutip.qeye([2] * model.n_sites))
    return h, [np.sqrt(j.rate) * _operator(j, model.n_sites) for j in model.jumps if j.rate]


def evolve_qutip(model: Lindblad, states: np.ndarray, times: np.ndarray, options: dict | None = None) -> list:
    """Density matrices ``(2**N, 2**N)`` at ``times`` from one-spin ``states``, by ``qutip.mesolve``.

    Raises ``InputError`` where it gives up.
    """
    qutip = optional("qutip", "method 'qutip'")

    h, jumps = operators(model)
    rho = qutip.tensor([qutip.Qobj(state) for state in states])
    grid = np.concatenate([[0.0], np.asarray(times, float)])
    try:
        result = qutip.mesolve(h, rho, grid, c_ops=jumps, options={**TIGHT, "store_states": True, **(options or {})})
    except qutip.solver.integrator.IntegratorException as error:
        raise InputError(f"QuTiP's integrator did not reach t = {grid[-1]:g} ({error}): take 'liouvillian'.") from error
    return [_hermitian(state.full()) for state in result.states[1:]]


def steady_qutip(model: Lindblad) -> np.ndarray:
    """The steady state by ``qutip.steadystate`` (sparse direct solve)."""
    qutip = optional("qutip", "method 'qutip'")

    return _hermitian(qutip.steadystate(*operators(model)).full())


def tilted_qutip(model: Lindblad, s: float) -> np.ndarray:
    """The dense ``L_s`` of the jump count in QuTiP's (column-stacked) order, ``(4**N, 4**N)``."""
    qutip = optional("qutip", "method 'qutip'")

    h, jumps = operators(model)
    out = qutip.liouvillian(h, jumps)
    for g in jumps:
        out = out + np.expm1(-s) * qutip.sprepost(g, g.dag())
    return out.full()


def _hermitian(rho: np.ndarray) -> np.ndarray:
    return (rho + rho.conj().T) / 2


def _operator(part: LocalOperator, n: int) -> Any:
    """A sum of QuTiP tensor products of its own Pauli matrices."""
    qutip = optional("qutip", "method 'qutip'")

    letters_to = {"i": qutip.qeye(2), "x": qutip.sigmax(), "y": qutip.sigmay(), "z": qutip.sigmaz()}
    out = 0 * qutip.qeye([2] * n)
    for letters, c in pauli_strings(part.matrix).items():
        factors = [qutip.qeye(2)] * n
        for site, letter in zip(part.sites, letters):
            factors[site] = letters_to[letter]
        out = out + c * qutip.tensor(factors)
    return out
