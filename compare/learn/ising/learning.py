"""Learn a Hamiltonian from configurations at one temperature and keep everything in one folder.

spec.json      what was asked            model.pt       the network's parameters
fit.json       likelihood, agreement with the true energy, couplings, provenance
history.csv    one row an epoch          energies.csv   true and learned energy of held-out configurations
"""

from __future__ import annotations

import io
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from vanbench.compare.run.provenance import peak_memory_mib, provenance
from vanbench.exact import ising
from vanbench.exact.errors import InputError
from vanbench.exact.files import read_text, require_file, require_writable, write_bytes, write_text
from vanbench.exact.ising import coarse
from vanbench.exact.warning import RunWarning
from vanbench.neural import Autoregressive, build
from vanbench.neural.learning import hamiltonian
from vanbench.neural.learning import likelihood as learn

DTYPES = {"float32": torch.float32, "float64": torch.float64}
PUBLISHED_OPTIONS: dict[str, dict[str, Any]] = {"made": {"hidden": (180, 120)}}  # arXiv:2007.01037
SCATTER = 5000  # held-out configurations whose energies are compared and kept


@dataclass(frozen=True)
class Spec:
    """One learning run. `stride` 0: spins; 1 or 2: 2x2 block sums. `J, h, plaquette`: the truth it is compared with."""

    shape: tuple[int, ...]
    T0: float
    J: float = 1.0
    h: float = 0.0
    plaquette: float = 0.0
    stride: int = 0
    architecture: str = "made"
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    training: learn.Training = field(default_factory=learn.Training)

    def __post_init__(self) -> None:
        ising.lattice.sides(self.shape)
        ising.lattice.check_temperatures([self.T0])
        ising.lattice.check_couplings(J=self.J, h=self.h, plaquette=self.plaquette)
        if self.dtype not in DTYPES:
            raise InputError(f"dtype {self.dtype!r}: use {' or '.join(DTYPES)}.")
        if self.stride:
            coarse.coarse_shape(self.shape, self.stride)
            if "translations" in self.training.symmetries and self.stride == 1:
                raise InputError("blocks of stride 1 do not wrap around: train them without translations.")

    @property
    def couplings(self) -> tuple[float, float, float]:
        return self.J, self.h, self.plaquette

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Shape of the network's input."""
        return coarse.coarse_shape(self.shape, self.stride) if self.stride else tuple(self.shape)

    @property
    def local_dim(self) -> int:
        return coarse.LEVELS if self.stride else 2

    def network(self) -> Autoregressive:
        """A fresh network, seeded by the training's seed; without options the published widths."""
        torch.manual_seed(self.training.seed)
        options = dict(self.options or PUBLISHED_OPTIONS.get(self.architecture, {}))
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in options.items()}
        net = build(self.architecture, self.field_shape, local_dim=self.local_dim, **options)
        return net.to(DTYPES[self.dtype])

    def plain(self) -> dict[str, Any]:
        """The run as plain values for JSON."""
        return json.loads(json.dumps(asdict(self)))


def run(
    spec: Spec,
    x: NDArray,
    out: Path,
    on_epoch: Callable[[learn.Fit], None] | None = None,
) -> dict[str, Any]:
    """Train on configurations x (n, n_sites of `field_shape`) and write the folder; returns what fit.json holds.

    A checkpoint is kept after each epoch, and the same spec on the same data goes on from it. Raises InputError where
    the folder holds another run, or a finished one.
    """
    out = Path(out)
    net = spec.network()
    x = learn.check_configurations(x, net.n_sites, net.local_dim)
    identity = {"spec": spec.plain(), "data": {"configurations": len(x), "crc32": zlib.crc32(x.tobytes())}}
    state = _prepare(out, identity)
    begun = time.perf_counter()

    def checkpoint(fit: learn.Fit, take: Callable[[], dict]) -> None:
        _save(take(), out / "checkpoint.pt", out)
        if on_epoch is not None:
            on_epoch(fit)

    fit = learn.fit(net, x, spec.training, state=state, on_epoch=checkpoint)
    _save(net.state_dict(), out / "model.pt", out)
    write_text(out / "history.csv", pd.DataFrame(fit.history).to_csv(index=False), out)
    result = {
        "configurations": len(x),
        "epochs": len(fit.history),
        "best_epoch": fit.best_epoch,
        "nll": fit.nll,
        "nll_error": fit.nll_error,
        "parameters": sum(p.numel() for p in net.parameters()),
        "training_seconds": sum(row["seconds"] for row in fit.history),
        "training_cpu_seconds": sum(row["cpu_seconds"] for row in fit.history),
        "warnings": [],
        **_judge(spec, net, x, out),
        "seconds": time.perf_counter() - begun,
        "peak_memory_mib": peak_memory_mib(),
        "provenance": provenance("cpu"),
    }
    write_text(out / "fit.json", _text(result), out)
    (out / "checkpoint.pt").unlink(missing_ok=True)
    return result


def _judge(spec: Spec, net: Autoregressive, x: NDArray, out: Path) -> dict[str, Any]:
    """Compare held-out energies and couplings with the truth, which the network never sees. Spins only."""
    if spec.stride:
        return {}
    _, held = learn.split(len(x), spec.training)
    some = x[held[:SCATTER]]
    true = ising.energy(some, spec.shape, *spec.couplings)
    learned = hamiltonian.learned_energy(net, some, spec.T0)
    energies = pd.DataFrame({"true": true, "learned": learned})
    write_text(out / "energies.csv", energies.to_csv(index=False, float_format="%.6f"), out)
    judged: dict[str, Any] = {}
    try:  # too few held-out configurations, or a lattice too small for the terms, must not end the run
        judged["agreement"] = asdict(hamiltonian.agreement(learned, true))
        fitted = hamiltonian.couplings(net, some, spec.shape, spec.T0)
    except InputError as error:
        return {
            **judged,
            "not_judged": str(error),
            "warnings": [asdict(RunWarning("not judged", str(error).removesuffix(".")))],
        }
    terms = zip(fitted.names, fitted.values, fitted.errors)
    couplings = {name: {"value": float(value), "stderr": float(error)} for name, value, error in terms}
    return {**judged, "couplings": couplings, "couplings_r2": fitted.r2}


def _prepare(out: Path, identity: dict) -> dict | None:
    """Make the folder; the checkpoint's state where there is one to go on from."""
    known = out / "spec.json"
    if known.exists():
        if read_text(known) != _text(identity):
            raise InputError(f"{out} holds a run with other settings or data: give another folder.")
        if (out / "fit.json").exists():
            raise InputError(f"{out} already holds this run, which is finished: give another folder.")
    require_writable(out)
    write_text(known, _text(identity), out)
    checkpoint = out / "checkpoint.pt"
    return _state(checkpoint) if checkpoint.exists() else None


def _state(path: Path) -> dict:
    """What `_save` wrote; InputError for anything else (damaged bytes make torch raise all kinds of errors)."""
    try:
        require_file(path)
        return torch.load(path, weights_only=True)
    except Exception as error:
        raise InputError(f"{path} cannot be read, remove it and learn again") from error


def load(folder: Path) -> tuple[Spec, Autoregressive, dict[str, Any]]:
    """The spec, the trained network and fit.json of a folder that `run` wrote. Raises InputError otherwise."""
    folder = Path(folder)
    try:
        stored = json.loads(read_text(folder / "spec.json"))["spec"]
        fit = json.loads(read_text(folder / "fit.json"))
        if "agreement" in fit:
            fit["agreement"] = {part.name: float(fit["agreement"][part.name]) for part in fields(hamiltonian.Agreement)}
        stored["training"]["symmetries"] = tuple(stored["training"]["symmetries"])
        training = learn.Training(**stored.pop("training"))
        spec = Spec(**{**stored, "shape": tuple(stored["shape"])}, training=training)
        net = spec.network()
        net.load_state_dict(_state(folder / "model.pt"))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{folder} is not a finished `vanbench learn` folder: {error}") from error
    return spec, net, fit


def _text(content: dict) -> str:
    return json.dumps(content, indent=1) + "\n"


def _save(state: dict, path: Path, root: Path) -> None:
    held = io.BytesIO()
    torch.save(state, held)
    write_bytes(path, held.getvalue(), root)


def kl_divergence(spec: Spec, fit: dict[str, Any]) -> tuple[float, float]:
    """D_KL(exact || network) at T0 in nats a site, with its error: (F(T0) - <H + T0 ln p>) / (T0 N), spins only.

    The mean is over held-out configurations; the fluctuations of H cancel in it, unlike in nll - entropy. Raises
    InputError where no exact free energy is known.
    """
    n_sites = int(np.prod(spec.shape))
    exact = ising.solve(spec.shape, [spec.T0], *spec.couplings, quantities=["free_energy"])
    excess = float(exact.value.iloc[0]) * n_sites - fit["agreement"]["free_energy"]
    return excess / (spec.T0 * n_sites), fit["agreement"]["free_energy_error"] / (spec.T0 * n_sites)
