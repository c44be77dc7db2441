"""Quantum trajectories on state vectors: steady-state averages with standard errors where ``rho`` does not fit.

One time step splits the Lindbladian into the Hamiltonian pieces on two and more spins and, for each spin, everything
that acts on it alone: ``dt/2`` of the former, ``dt`` of the one-spin Lindbladians, ``dt/2`` of the former in reverse.
A one-spin Lindbladian is exponentiated exactly and unravelled by the Kraus operators of the result (Nielsen and
Chuang, 8.2): operator ``K`` is drawn with probability ``|K psi|^2``. No jump time has to be located, and the averages
carry the error of the splitting alone, of order ``dt^2`` (`split_steady` measures it without noise).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import expm

from vanbench.exact.compiled import compiled
from vanbench.exact.definitions.lindblad import Lindblad
from vanbench.exact.definitions.pauli import I2, embed
from vanbench.exact.definitions.quantities import SPINS
from vanbench.exact.errors import InputError
from vanbench.exact.files import append_text, read_text
from vanbench.exact.quantum.liouvillian import density_matrix
from vanbench.exact.seeds import Seed, stream
from vanbench.exact.statistics import standard_error

EVERY = 0.2  # time between the states that are averaged
FIELDS = ("key", "seed", "run", "dt", "burn_in", "duration", *SPINS)


@dataclass(frozen=True, eq=False)
class SplitStep:
    """The compiled step: a diagonal phase and two-spin gates for ``dt/2``, and one-spin Kraus operators for ``dt``.

    ``phase`` ``(2**N,)``; ``gates`` ``((bit_high, bit_low), (4, 4))``; ``kraus`` ``(N, 4, 2, 2)``, the largest first.
    """

    n: int
    phase: np.ndarray
    gates: tuple[tuple[tuple[int, int], np.ndarray], ...]
    kraus: np.ndarray


def split_step(model: Lindblad, dt: float) -> SplitStep:
    """Raises ``InputError`` for jumps on more than one spin, Hamiltonian pieces on more than two, or a bad ``dt``."""
    if not (np.isfinite(dt) and dt > 0):
        raise InputError(f"dt = {dt}: trajectories need a positive time step.")
    n = model.n_sites
    local = [np.zeros((4, 4), dtype=complex) for _ in range(n)]
    phase, gates = np.zeros(1 << n), []
    for part in model.hamiltonian:
        h = part.matrix
        if len(part.sites) == 1:
            local[part.sites[0]] += -1j * (np.kron(h, I2) - np.kron(I2, h.T))
        elif not (h - np.diag(np.diag(h))).any():
            phase += embed(part.sites, h, n).diagonal().real
        elif len(part.sites) == 2:
            bits = (n - 1 - part.sites[0], n - 1 - part.sites[1])
            gates.append((bits, expm(-0.5j * dt * h)))
        else:
            raise InputError("trajectories take Hamiltonian pieces on one or two spins, or diagonal ones.")
    for jump in model.jumps:
        if len(jump.sites) != 1:
            raise InputError("trajectories take jump operators on one spin each.")
        g, loss = jump.matrix, jump.matrix.conj().T @ jump.matrix / 2
        dissipator = np.kron(g, g.conj()) - np.kron(loss, I2) - np.kron(I2, loss.T)
        local[jump.sites[0]] += jump.rate * dissipator
    kraus = np.array([kraus_operators(expm(dt * generator)) for generator in local])
    return SplitStep(n, np.exp(-0.5j * dt * phase), tuple(gates), kraus)


def kraus_operators(channel: np.ndarray) -> np.ndarray:
    """Kraus operators ``(4, 2, 2)`` of a one-spin map on row-major ``vec(rho)``, by falling weight (Choi's theorem)."""
    choi = channel.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    weights, vectors = np.linalg.eigh(choi)
    return np.array([np.sqrt(max(w, 0.0)) * v.reshape(2, 2) for w, v in zip(weights[::-1], vectors.T[::-1])])


def advance(psi: np.ndarray, step: SplitStep, uniform: np.ndarray) -> None:
    """One step in place, ``uniform`` ``(N,)`` random numbers; ``psi`` stays normalised."""
    _half(psi, step, reverse=False)
    _one_spin(psi, step.kraus, uniform)
    _half(psi, step, reverse=True)


def _half(psi: np.ndarray, step: SplitStep, reverse: bool) -> None:
    if not reverse:
        psi *= step.phase
    for (high, low), gate in reversed(step.gates) if reverse else step.gates:
        _two_spin(psi, high, low, gate)
    if reverse:
        psi *= step.phase


def trajectory(model: Lindblad, dt: float, burn_in: float, duration: float, seed: Seed) -> np.ndarray:
    """Time averages ``(3,)`` of the site-averaged ``x, y, z`` along one trajectory after ``burn_in``, from all up."""
    step, rng = split_step(model, dt), np.random.default_rng(seed)
    psi = np.zeros(model.dim, dtype=complex)
    psi[0] = 1.0
    stride = max(1, round(EVERY / dt))
    samples = []
    for count in range(1, round((burn_in + duration) / dt) + 1):
        advance(psi, step, rng.random(model.n_sites))
        if count * dt > burn_in and count % stride == 0:
            samples.append(_spins(psi, model.n_sites) / model.n_sites)
    return np.mean(samples, axis=0)


def sample(
    path: Path,
    key: str,
    model: Lindblad,
    runs: int,
    dt: float,
    burn_in: float,
    duration: float,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Adds independent trajectories to the CSV file ``path`` until it holds ``runs`` of ``key``; resumes what it holds.

    Raises ``InputError`` when the file holds ``key`` with another ``seed``, ``dt``, ``burn_in`` or ``duration``.
    """
    done = read(path, key)
    setting = {"seed": seed, "dt": dt, "burn_in": burn_in, "duration": duration}
    for row in done:
        if any(float(row[name]) != value for name, value in setting.items()):
            raise InputError(f"{path} holds trajectories of {key} with other settings: give another file.")
    held = {int(row["run"]) for row in done}
    for run in range(1, runs + 1):
        if run in held:
            continue
        x, y, z = trajectory(model, dt, burn_in, duration, stream(seed, run, *key.encode()))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not path.exists():
            writer.writerow(FIELDS)
        writer.writerow([key, seed, run, dt, burn_in, duration, *(f"{v:.10g}" for v in (x, y, z))])
        append_text(path, text.getvalue())
        if progress:
            progress(f"{key}: trajectory {run} of {runs}")


def read(path: Path, key: str | None = None) -> list[dict[str, str]]:
    """The rows of the file, of one ``key`` if given."""
    if not path.exists():
        return []
    return [row for row in csv.DictReader(io.StringIO(read_text(path))) if key is None or row.get("key") == key]


def summary(rows: list[dict[str, str]]) -> dict[str, tuple[float, float]]:
    """``{"sigma_x": (mean, standard error), ...}`` over independent trajectories (needs two)."""
    if len(rows) < 2:
        raise InputError("a standard error needs at least two trajectories.")
    out = {}
    for name in SPINS:
        values = np.array([float(row[name]) for row in rows])
        out[name] = (float(values.mean()), standard_error(values))
    return out


def split_steady(model: Lindblad, dt: float, tolerance: float = 1e-9) -> np.ndarray:
    """The fixed point of the averaged step, by iteration on ``rho``: the splitting error without noise (few spins)."""
    step, n = split_step(model, dt), model.n_sites
    first, last = _half_matrix(step, reverse=False), _half_matrix(step, reverse=True)
    kraus = [[embed((i,), k, n) for k in step.kraus[i] if np.abs(k).max() > 1e-12] for i in range(n)]
    rho = density_matrix(np.tile(I2 / 2, (n, 1, 1)))
    for _ in range(100_000):
        new = first @ rho @ first.conj().T
        for operators in kraus:
            new = sum(k @ (k @ new.conj().T).conj().T for k in operators)
        new = last @ new @ last.conj().T
        change = np.abs(new - rho).max()
        rho = new
        if change < tolerance * dt:
            return rho
    raise InputError("the split step did not settle: take a larger dt or fewer spins.")


def _half_matrix(step: SplitStep, reverse: bool) -> np.ndarray:
    columns = np.eye(1 << step.n, dtype=complex)
    for column in columns:
        _half(column, step, reverse)
    return columns.T


@compiled(fastmath=True)
def _one_spin(psi, kraus, uniform):  # type: ignore[no-untyped-def]
    n = kraus.shape[0]
    for site in range(n):
        stride = 1 << (n - 1 - site)
        up, down, cross = 0.0, 0.0, 0j
        for start in range(0, psi.size, 2 * stride):
            for i in range(start, start + stride):
                a, b = psi[i], psi[i + stride]
                up += a.real * a.real + a.imag * a.imag
                down += b.real * b.real + b.imag * b.imag
                cross += np.conj(a) * b
        total, target, chosen, weight = up + down, uniform[site], 0, 1.0
        target *= total
        for k in range(4):
            m = kraus[site, k]
            # |K psi|^2 from the reduced state of the site
            at_up = abs(m[0, 0]) ** 2 + abs(m[1, 0]) ** 2
            at_down = abs(m[0, 1]) ** 2 + abs(m[1, 1]) ** 2
            mixed = np.conj(m[0, 0]) * m[0, 1] + np.conj(m[1, 0]) * m[1, 1]
            p = at_up * up + at_down * down + 2 * (mixed * cross).real
            if p > 1e-14 * total:
                chosen, weight = k, p
            target -= p
            if target < 0:
                break
        scale = 1 / np.sqrt(weight)
        m00, m01 = kraus[site, chosen, 0, 0] * scale, kraus[site, chosen, 0, 1] * scale
        m10, m11 = kraus[site, chosen, 1, 0] * scale, kraus[site, chosen, 1, 1] * scale
        for start in range(0, psi.size, 2 * stride):
            for i in range(start, start + stride):
                a, b = psi[i], psi[i + stride]
                psi[i] = m00 * a + m01 * b
                psi[i + stride] = m10 * a + m11 * b


@compiled(fastmath=True)
def _two_spin(psi, high, low, gate):  # type: ignore[no-untyped-def]
    p, q = 1 << high, 1 << low
    for i in range(psi.size):
        if i & p or i & q:
            continue
        a, b, c, d = psi[i], psi[i | q], psi[i | p], psi[i | p | q]
        psi[i] = gate[0, 0] * a + gate[0, 1] * b + gate[0, 2] * c + gate[0, 3] * d
        psi[i | q] = gate[1, 0] * a + gate[1, 1] * b + gate[1, 2] * c + gate[1, 3] * d
        psi[i | p] = gate[2, 0] * a + gate[2, 1] * b + gate[2, 2] * c + gate[2, 3] * d
        psi[i | p | q] = gate[3, 0] * a + gate[3, 1] * b + gate[3, 2] * c + gate[3, 3] * d


@compiled(fastmath=True)
def _spins(psi, n):  # type: ignore[no-untyped-def]
    """Sums over the sites of ``<x>, <y>, <z>``."""
    out = np.zeros(3)
    for site in range(n):
        stride = 1 << (n - 1 - site)
        cross, z = 0j, 0.0
        for start in range(0, psi.size, 2 * stride):
            for i in range(start, start + stride):
                a, b = psi[i], psi[i + stride]
                cross += np.conj(a) * b
                z += a.real * a.real + a.imag * a.imag - b.real * b.real - b.imag * b.imag
        out += np.array([2 * cross.real, 2 * cross.imag, z])
    return out
