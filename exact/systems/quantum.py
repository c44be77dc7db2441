"""Open quantum spin systems in a POVM basis (``local_dim`` 4): transverse-field Ising and anisotropic Heisenberg.

Every spin decays by ``sigma^- = (x - iy)/2`` at rate ``gamma``; the counter is ``jumps``. Each bond once, a periodic
direction of length 2 too. POVMs: ``tetrahedral``, ``4-pauli`` (outcomes in the published order of Luo et al.,
PRL 128, 090501 (2022)). Starts: ``up``, ``down``, ``+-x``, ``+-y``, ``+-z``.
"""

from __future__ import annotations

from typing import Any

from vanbench.exact.definitions.povm import povm_by_name
from vanbench.exact.definitions.system import System
from vanbench.exact.quantum.models import MODELS, product_state
from vanbench.exact.quantum.povm import povm_system


def tfim(
    shape: tuple[int, ...],
    V: float = 2.0,
    g: float = 1.0,
    gamma: float = 1.0,
    boundary: str = "periodic",
    povm: str = "tetrahedral",
    initial: str = "up",
) -> System:
    """Transverse-field Ising model, ``H = V/4 sum_<ij> z_i z_j + g/2 sum_i x_i``, with decay."""
    return _system("tfim", shape, povm, initial, V=V, g=g, gamma=gamma, boundary=boundary)


def heisenberg(
    shape: tuple[int, ...],
    Jx: float = 0.9,
    Jy: float = 1.0,
    Jz: float = 1.0,
    B: float = 0.0,
    gamma: float = 1.0,
    boundary: str = "periodic",
    povm: str = "tetrahedral",
    initial: str = "up",
) -> System:
    """Heisenberg model, ``H = sum_<ij> (Jx xx + Jy yy + Jz zz) + B sum_i z_i``, with decay."""
    return _system("heisenberg", shape, povm, initial, Jx=Jx, Jy=Jy, Jz=Jz, B=B, gamma=gamma, boundary=boundary)


def _system(name: str, shape: tuple[int, ...], povm: str, initial: str, **params: Any) -> System:
    model = MODELS[name](shape, **params)
    states = product_state(initial, model.n_sites)
    return povm_system(model, povm_by_name(povm), states, name, {**params, "initial": initial})
