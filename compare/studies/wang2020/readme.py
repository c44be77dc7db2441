"""The README of results/wang2020, written from the tables beside it so that no number is typed by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TARGETS = {"energy_error": 0.03, "magnetization_error": 0.05, "r2": 0.98}

HEAD = """# Learned Hamiltonians of the 2D Ising model

A MADE is trained by maximum likelihood on configurations drawn at one temperature, T0; `-T0 ln p(x)` is the learned
Hamiltonian, and `p(x)^(T0/T)` what it predicts at T. After L. Wang, Y. Jiang, K. Zhou, "Neural network statistical
mechanics", arXiv:2007.01037 (2020). Units J = k_B = 1; energies, specific heats and |M| per spin; each bond counts
once.

Everything here is written by

    vanbench study wang2020 run [main|shared|bounded|causes|small|samples|sizes|ceiling|coarse|temperatures|width]

(no argument: all; networks are kept under runs/wang2020 and taken up where they were left). One run by hand:

    vanbench learn ising --shape 16x16 --temperature 2.5 --generate 60000 --dtype float32 --out runs/mine
    vanbench predict runs/mine --temperatures 1:4:0.1

References: Kaufman's finite-lattice formula for energy and specific heat (enumeration up to 5x5), Wolff Monte Carlo
with 20000 samples a temperature for |M| and blocks beyond that. Predictions are weighted averages over
independent draws of the network (1000 a temperature), errors their jackknife over 20 groups; `ess` is the effective
sample size.
"""

SECTIONS: list[tuple[str, str, str, list[str]]] = [
    (
        "main.csv",
        "Main run: 16x16, T0 = 2.5, 60000 configurations",
        """`main`: 256-(180, 120)-256 units with a linear skip from the earlier spins to the logits, nothing assumed.
`main-decay`: the same with weight decay 0.3. `main-symmetric`: as `main`, each batch moved by a random translation and
spin flip (symmetries assumed, an option that the published method does not have);
`main-no-skip`: 256-(180, 120)-256 alone. Errors are the largest over T = 1, 1.4, 1.8, 2, 2.2, 2.4, 2.6, 2.8, 3.2, 3.6,
4: `_transition` columns at 2.4 alone (strictly between 2.2 and 2.6), the others at all the rest.
With 120 units for 256 sites, about half of the outputs of a MADE without skip have no unit that passes on the spin
just before them; the linear skip gives it back.""",
        ["main.png", "scatter.png"],
    ),
    (
        "shared.csv",
        "The main run with kernels shared between sites",
        """`main-circulant`: eight tanh units a site whose kernels move with the site around the torus, beside a linear
part; ten epochs at learning rate 0.005, batches moved as in `main-symmetric`. `main-circulant-16`: sixteen units,
twenty epochs; `main-circulant-fast`: as the first at learning rate 0.01. All three were tried on the same
temperatures and differ by less than the standard error of the largest deviation (at T = 2.2, see `shared-curves.csv`
and the smaller errors of `causes.csv`): they stand at the edge of the energy's target, not clearly below it. The
published network's rows are the ones above.""",
        ["shared.png"],
    ),
    (
        "bounded.csv",
        "The main run with bounded logits",
        """`main-bounded`: 16 tanh units a site with shared kernels and no linear part (`circulant`, `linear=false`);
ten epochs at learning rate 0.02, batches moved as in `main-symmetric`. `-2` and `-3`: other seeds, which give other
configurations, split, start, batches and draws; `-plain`: as the first, batches not moved. The linear part of the
networks above is what biases them (see below): its logits go on growing in neighbourhoods more ordered than the data,
where those of a finite number of finite couplings saturate. Without it they are bounded by construction, and nothing
that the truth needs is lost: tanh of one spin is linear in it. `training_cpu_seconds`: of one core; `training_seconds`
is wall time, here and in the later tables of a busy machine.""",
        ["bounded.png"],
    ),
    (
        "bounded-seeds.csv",
        "Bounded logits: mean over the seeds",
        """Predicted minus reference at each temperature, mean over the seeds, with the standard error from their
spread.""",
        [],
    ),
    (
        "bounded-causes.csv",
        "Bounded logits: the Hamiltonian's own error",
        "Columns as in the next table: without the networks' sampler, with smaller errors.",
        [],
    ),
    (
        "causes.csv",
        "Whose fault the energy below T_c is",
        """Error of the energy a spin at T, from Monte Carlo configurations of the true Hamiltonian at T weighted with
exp(-(H_learned - H)/T): neither the network's sampler nor its chains take part. `learned`: as it is; `images`: -T0 ln p
averaged over 8 random translations and flips; `by_energy`: only the mean of H_learned - H at each energy; `rest`:
without that mean; `true_H`: the same configurations unweighted against Kaufman, the control; `effective`: share of
the configurations that count.
`learned` is the error that the network's own sampler gives too: sampler and ergodicity are not the cause. Below T_c
`by_energy` is the error and `rest`, the noise that overfitting leaves, pulls the other way; averaging over images
removes noise and not the error. What is left is a bias of the network for order. The reason: the linear part of its
logits goes on growing where the exact ones saturate, in ordered neighbourhoods that one site alone seldom meets at
T0. The networks of the table before this one, which differ from `main-circulant*` in having no such part, do not
have the bias.""",
        [],
    ),
    (
        "likelihoods.csv",
        "Training and held-out likelihood",
        """-ln p a configuration at the best epoch: the training part as the mean over that epoch's batches while the
network was still learning, the held-out part after it.""",
        [],
    ),
    (
        "deviations.csv",
        "Where the learned Hamiltonian is wrong",
        """Learned minus true energy of the whole lattice (its mean removed) by magnetization, over configurations at T0
and at T = 2.2. Ordered configurations are a small share of what is seen at T0; the likelihood there is learned least,
their energy comes out too low, and p^(T0/T) just below T_c therefore leans to order.""",
        [],
    ),
    (
        "couplings.csv",
        "Couplings in the learned Hamiltonian",
        """Least squares of `-T0 ln p` on 5000 held-out configurations; truth: nearest 1, all others 0. Standard errors
are robust to unequal variances.""",
        [],
    ),
    (
        "small.csv",
        "4x4: all configurations summed",
        """KL divergences in nats for the whole lattice, by summing 65536 configurations; `normalisation` is the sum
of p. `made-plaquette*` learn a Hamiltonian with four-spin terms.""",
        [],
    ),
    (
        "by-n.csv",
        "Error against the number of configurations",
        """16x16, T0 = 2.5; as `main-bounded`, 400 draws a temperature, in this table and
the next three. A largest error holds the noise of the draws (0.003 to 0.007) too.""",
        ["by-n.png"],
    ),
    ("by-L.csv", "Error against size", "T0 = 2.5, 60000 configurations.", ["by-L.png"]),
    (
        "by-T0.csv",
        "Error against the training temperature",
        "8x8, 60000 configurations. The KL divergence is the one at T0.",
        ["by-T0.png"],
    ),
    (
        "by-units.csv",
        "Error against the width of the network",
        "8x8, T0 = 2.5, 60000 configurations.",
        ["by-units.png"],
    ),
    (
        "coarse-ceiling.csv",
        "Coarse-grained measurements: the ceiling at 4x4",
        """Exact block distributions. `ceiling` is the exact distribution at T0 to the power T0/T, what a perfect
network would predict; its difference from `exact` is the method's own error, that of `network` from `ceiling` is the
network's.""",
        ["coarse-ceiling.png"],
    ),
]
SECTIONS.append(
    (
        "coarse-likelihoods.csv",
        "16x16 measured as 2x2 blocks: likelihoods",
        """Held-out -ln p a configuration against the exact entropy of the spins, which bounds that of the blocks from
above: where `nll` is larger, the difference is a lower bound of the network's divergence from the truth at T0. The
blocks of stride 1 leave hardly any spin open, so there the bound is nearly tight, and the ceiling of the method is
nearly the truth (table above): what is wrong in the curve of stride 1 is the network, which has not learned in the
epochs given how overlapping blocks pin each other down. In the curve of stride 2 it is the method itself.""",
        [],
    )
)
BLOCKS = [("coarse2", "stride 2 (8x8 blocks)"), ("coarse1", "stride 1 (15x15 blocks, no wrapping)")]


def write(out: Path) -> None:
    """out/README.md from whichever tables exist."""
    text = [HEAD]
    if (out / "main.csv").exists():
        files = [out / name for name in ("main.csv", "shared.csv", "bounded.csv") if (out / name).exists()]
        text.append(_targets(pd.concat([pd.read_csv(file) for file in files])))
    for name, title, comment, figures in SECTIONS:
        if (out / name).exists():
            text += [f"## {title}\n", comment + "\n", _markdown(pd.read_csv(out / name)), f"\nData: `{name}`\n"]
            text += [f"![{title}]({figure})\n" for figure in figures if (out / figure).exists()]
    for name, title in BLOCKS:
        if (out / f"{name}.csv").exists():
            frame = pd.read_csv(out / f"{name}.csv").query("quantity == 'block_magnetization'")
            columns = ["T", "value", "stderr", "reference", "reference_stderr", "difference"]
            text += [f"## 16x16 measured as 2x2 blocks, {title}\n", _markdown(frame[columns]), ""]
            text.append(f"![{title}]({name}.png)\n")
    (out / "README.md").write_text("\n".join(text))


def _targets(main: pd.DataFrame) -> str:
    lines = ["## Targets\n", "| run | quantity | target | measured | met |", "|:--|:--|--:|--:|:--|"]
    for _, row in main.iterrows():
        for name, target in TARGETS.items():
            met = row[name] >= target if name == "r2" else row[name] <= target
            sign = ">=" if name == "r2" else "<="
            lines.append(f"| {row['run']} | {name} | {sign} {target} | {row[name]:.4g} | {'yes' if met else 'no'} |")
    return "\n".join(lines) + "\n"


def _markdown(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, floatfmt=".4g")
