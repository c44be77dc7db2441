"""Time-evolving block decimation: local gates on a matrix-product network, without samples and without training.

``exp(dt W_s)`` is split into ``exp(dt w)`` of the local terms ``w``, to fourth or second order, and each of them acts
exactly on the tensors of the sites it touches (Vidal, Phys. Rev. Lett. 93, 040502 (2004)). What is cut from a bond that
has reached the network's size is the only other error. Signed generators will do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor

from vanbench.exact import Excluding, FixedSum, InputError, System
from vanbench.exact.matrixfree.local import Local, merged
from vanbench.exact.warning import RunWarning
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.estimators import Increment
from vanbench.neural.tensor_train import Gate, TensorTrain
from vanbench.neural.trackers.base import Diverged, Measuring, Problem, Step

# Fractions of the step, the groups of gates forwards and backwards in turn. Strang's and S6 of Blanes and Moan, J.
# Comput. Appl. Math. 142, 313 (2002), as compositions (McLachlan, SIAM J. Sci. Comput. 16, 151 (1995)): the sums of
# neighbours are their coefficients a1, b1, a2, b2, a3, b3, a4, ...
_S6 = [0.0792036964311957, 0.1303114101821663, 0.2228614958676077, -0.3667132690474257, 0.3246481886897062]
_S6.append(0.5 - sum(_S6))
FRACTIONS = {2: [0.5, 0.5], 4: [*_S6, *_S6[::-1]]}
TOO_MUCH = 5e-3  # cut in all: stored runs beyond it were off in the second digit of spin averages or of k
STEEP = {2: 1.5, 4: 7.0}  # the step times the rates of the terms on a site, where errors of ln Z reach 1e-3 or so
Group = list[Gate]  # on sites that no two of them share


class Gates(Measuring):
    """Follows ``dP/dt = W_s P`` with the architecture ``matrix-product``; terms on one site or two.

    ``lost`` in the log is the sum of the squares, each as a fraction, that bonds have cut so far.

    dt
        the largest time step; a report time is met by equal shorter ones.
    order
        2: each step goes through the terms and back (Strang); 4: six times through and back, for unequal fractions of
        the step, some negative (S6 of Blanes and Moan).
    cutoff
        squares of what is cut from a bond, as a fraction, that are not missed although the bond has room.
    balanced
        bonds are cut where ``P / sqrt(P_0)``, not ``P``, loses least: it weighs the configurations that are rare at the
        start, which an s-ensemble may live on. The same for a uniform start.
    measure
        samples of the network for the observables.
    full_summation
        observables summed over all configurations instead (up to 2^16 states).
    """

    pace = 1.0  # of what is stepped, in units of the generator
    noiseless = True
    acts_on = "matrix-product"

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.2,
        order: int = 4,
        cutoff: float = 1e-18,
        balanced: bool = False,
        measure: int = 20000,
        full_summation: bool = False,
    ):
        net, system = problem.ensemble.net, problem.system
        assert isinstance(net, MatrixProduct)  # `trackers.check_network`
        if not (dt > 0 and 0 <= cutoff < 1 and measure >= 2):
            raise InputError("dt must be positive, cutoff in [0, 1), measure at least 2.")
        if order not in (2, 4):
            raise InputError(f"order = {order}: it must be 2 or 4.")
        if isinstance(system.support, FixedSum) or any(len(term.sites) > 2 for term in system.terms):
            raise InputError("gates need terms on one site or two, and no fixed sum of the values.")
        self.problem, self.dt, self.order, self.measure = problem, dt, order, measure
        self.states = problem.all_states() if full_summation else None
        support = system.support
        self.excluded = list(np.atleast_2d(support.configurations)) if isinstance(support, Excluding) else []
        if self.excluded and net.bond < 2:
            raise InputError("bond = 1: a configuration that is excluded takes a bond of 2 or more.")
        start = np.asarray(system.initial, dtype=float)
        self.scale = np.sqrt(np.where(start > 0, start, 1.0)) if balanced else np.ones_like(start)
        self.trains = [_start(system, self.scale, net.bond, cutoff) for _ in problem.s]
        for train in self.trains:
            self._shorten(train)
        self.groups = [_groups(_local(problem, s, self.scale)) for s in problem.s]
        self.longest = STEEP[order] / max(1e-300, *(self.pace * _steepest(groups) for groups in self.groups))
        self.lost = torch.zeros(len(self.trains), dtype=torch.float64)  # squares cut so far, each as a fraction
        self._exponentials: dict[tuple[int, float], list[Group]] = {}

    def state(self) -> Mapping[str, Any]:
        trains = [[torch.from_numpy(np.ascontiguousarray(core)) for core in t.cores] for t in self.trains]
        centres = [train.centre for train in self.trains]
        return {"trains": trains, "centres": centres, "lost": self.lost, "measured": self._measured}

    def load(self, state: Mapping[str, Any]) -> None:
        for train, cores, centre in zip(self.trains, state["trains"], state["centres"]):
            train.cores, train.centre = [core.cpu().numpy() for core in cores], centre
        self.lost, self._measured = state["lost"].cpu(), state["measured"]

    def step(self, limit: float) -> Step:
        dt = limit / max(1, math.ceil(limit / self.dt - 1e-9))
        growth = self.advance(dt)
        if dt == limit:  # a report time
            self.hand_over()
        increment = Increment.certain(torch.as_tensor(growth))
        bonds = self.bonds
        diagnostics = {"lost": self.lost, "bond": bonds}
        return Step(dt, {"gates": increment}, "gates", diagnostics, warnings=self._warnings(dt, int(bonds.max())))

    @property
    def bonds(self) -> Tensor:
        """The largest of each train, ``(R,)``."""
        return torch.tensor([float(max(train.bonds, default=1)) for train in self.trains])

    def advance(self, dt: float, fields: Sequence[int] | None = None) -> np.ndarray:
        """One step of the trains alone, all or those of some fields; by how much ``ln Z`` has grown, ``(R,)``."""
        growth, cut = np.zeros(len(self.trains)), np.zeros(len(self.trains))
        for r in range(len(self.trains)) if fields is None else fields:
            train = self.trains[r]
            self._act(r, train, dt)
            for x in self.excluded:  # no term leads there, but what is cut does, and next to the rest it grows
                train.clear(x)
            growth[r], cut[r] = self._shorten(train), train.forget()
            train.cores = [np.ascontiguousarray(c) for c in train.cores]  # as checkpoints have them: the same rounding
        self.lost = self.lost + torch.as_tensor(cut)
        return growth

    def _act(self, r: int, train: TensorTrain, dt: float) -> None:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                for group in self._gates(r, self.pace * dt):
                    train.sweep(group if train.centre < len(train.cores) / 2 or _apart(group) > 1 else group[::-1])
        except (np.linalg.LinAlgError, ValueError) as error:  # what is not finite has no factors
            raise Diverged(f"a step of {dt:.3g} overflows: take dt below {self._shorter()}.") from error

    def _warnings(self, dt: float, bond: int) -> list[RunWarning]:
        found = []
        if (lost := float(self.lost.max())) > TOO_MUCH:
            text = f"{lost:.1g} of the vector's squares have been cut from bonds of {bond}: take a larger bond"
            found.append(RunWarning("bond", text))
        if dt > self.longest:
            text = f"dt = {dt:.3g} is long for rates like these: take dt below {self._shorter()}"
            found.append(RunWarning("time step", text))
        return found

    def _shorter(self) -> str:
        return f"{0.95 * self.longest:.2g}"  # below it also when rounded

    def _gates(self, r: int, span: float) -> list[Group]:
        """``exp(span W_s)``, group after group."""
        key = (r, round(span, 15))
        if key not in self._exponentials:
            groups = self.groups[r]
            self._exponentials[key] = [
                [(sites, expm(fraction * span * matrix)) for sites, matrix in groups[k]]
                for k, fraction in _passes(len(groups), FRACTIONS[self.order])
            ]
        return self._exponentials[key]

    def _shorten(self, train: TensorTrain) -> float:
        """Make the total probability one; by how much ``ln Z`` has grown."""
        total = train.total(self.scale)
        if not (np.isfinite(total) and total > 0):
            raise Diverged("the total probability is not positive: take a larger bond or a smaller dt.")
        train.divide(total)
        return math.log(total)

    def hand_over(self) -> None:
        """The networks become what the trains are."""
        found = []
        for train in self.trains:
            probability = train.times(self.scale)
            probability.divide(train.total(self.scale))
            found.append(MatrixProduct.parameters_of(probability))
        for name, value in self.problem.ensemble.parameters.items():
            with torch.no_grad():
                for r, parameters in enumerate(found):
                    value[r].zero_()
                    part = parameters[name]
                    value[r][tuple(slice(0, size) for size in part.shape)] = part.to(value)
        self._measured = None


def _start(system: System, scale: np.ndarray, bond: int, cutoff: float) -> TensorTrain:
    """The product start, conditioned on the support, over ``scale``; not normalised."""
    rows = np.asarray(system.initial) / scale
    if not isinstance(system.support, Excluding):
        return TensorTrain.product(rows, bond, cutoff)
    excluded = np.atleast_2d(system.support.configurations)
    sites = np.arange(system.n_sites)
    single = [np.eye(system.local_dim)[x] for x in excluded]
    weights = [-float(rows[sites, x].prod()) for x in excluded]
    return TensorTrain.combination([1.0, *weights], [rows, *single], bond, cutoff)


def _local(problem: Problem, s: float, scale: np.ndarray) -> list[Local]:
    """The tilted terms on ``P / scale``, those on the same sites added up."""
    system = problem.system
    found = merged((Local(t.sites, t.tilted(problem.observable, s)) for t in system.terms), system.local_dim)
    out = []
    for local in found:
        weights = np.ones(1)
        for site in local.sites:
            weights = np.kron(weights, scale[site])
        out.append(Local(local.sites, local.matrix * weights / weights[:, None]))
    return out


def _groups(terms: list[Local]) -> list[Group]:
    """By the distance of their sites, and those of one distance in two groups within which no two share a site."""
    found: dict[tuple[int, int], Group] = {}
    for local in _onto_pairs(terms):
        apart = local.sites[-1] - local.sites[0]
        key = (apart, -(local.sites[0] // apart % 2) if apart else 0)
        found.setdefault(key, []).append((local.sites, local.matrix))
    return [sorted(found[key], key=lambda gate: gate[0]) for key in sorted(found)]


def _steepest(groups: list[Group]) -> float:
    """The largest sum, over the terms on a site, of their spectral radii, which no weighing of ``P`` changes."""
    total: Counter[int] = Counter()
    for sites, matrix in (gate for group in groups for gate in group):
        for site in sites:
            total[site] += np.abs(np.linalg.eigvals(matrix)).max()
    return float(max(total.values(), default=0.0))


def _onto_pairs(terms: list[Local]) -> list[Local]:
    """What acts on one site as equal shares of the pairs that the site is in: fewer groups that do not commute."""
    pairs = [local for local in terms if len(local.sites) == 2]
    of = Counter(site for local in pairs for site in local.sites)
    alone = {local.sites[0]: local.matrix for local in terms if len(local.sites) == 1}
    out = [Local((site,), matrix) for site, matrix in alone.items() if not of[site]]
    for local in pairs:
        one = np.eye(math.isqrt(len(local.matrix)))
        first, second = (alone.get(site, 0 * one) / of[site] for site in local.sites)
        out.append(Local(local.sites, local.matrix + np.kron(first, one) + np.kron(one, second)))
    return out


def _passes(groups: int, fractions: list[float]) -> list[tuple[int, float]]:
    """Which group acts for which fraction of the step: where the direction turns, twice the same at once."""
    out: list[tuple[int, float]] = []
    for n, fraction in enumerate(fractions):
        for k in range(groups) if n % 2 == 0 else reversed(range(groups)):
            if out and out[-1][0] == k:
                out[-1] = (k, out[-1][1] + fraction)
            else:
                out.append((k, fraction))
    return out


def _apart(group: Group) -> int:
    """The distance of the sites of its gates."""
    sites = group[0][0]
    return sites[-1] - sites[0]


class SteadyGates(Gates):
    """The steady state as where `Gates` in time ends: report times are compared with the steady state.

    What the splitting into gates adds to it is of the order ``dt^order``.
    """

    stationary = True
