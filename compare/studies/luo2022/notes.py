"""The head of the study's README: what the numbers are, and the commands that make them."""

HEAD = """# Luo et al. (2022): open quantum systems by networks over measurement outcomes

Luo, Chen, Carrasquilla, Clark, Phys. Rev. Lett. 128, 090501 (2022). gamma = 1 everywhere; spins are site averages. All
errors are absolute, against exact states in continuous time; `error x|y|z` is the largest over the report times (steady
states: at the end of the run), the median over the seeds. `stderr` is of the network's estimate, `total variation`
between the whole distributions at the last time, `smallest eigenvalue` that of the reconstructed state: negative where
the network is no quantum state. CPU seconds are of one thread, float64, on a shared machine with two cores.

The exact values and the trajectories of the 16-spin ring stand in REFERENCES.md with their commands. The networks:

    vanbench run luo2022-small --jobs 1 --device cpu --out runs/luo2022-small
    vanbench run luo2022-d --jobs 1 --device cpu --out runs/luo2022-d
    vanbench run luo2022-accuracy --jobs 1 --device cpu --out runs/luo2022-accuracy
    vanbench study luo2022 figures runs/luo2022-small runs/luo2022-d runs/luo2022-accuracy
    vanbench goals runs/luo2022-accuracy --out results/luo2022/accuracy.md

The fourth command stores what the records say as `runs.csv` (a row a run), `spins.csv`, `losses.csv`, `jumps.csv` and
`errors.csv`; `vanbench study luo2022 figures` alone draws the figures and this page again from these tables.

`luo2022-small` has every part of the study at sizes and sample numbers for a CPU, `luo2022-d` the steady states of the
3x3 lattice, `luo2022-accuracy` the goals of error and CPU time ([which were reached](accuracy.md)); a part that is not
below was not run to its end, and the same command finishes it. `luo2022-a`, `-b`, `-c`, `-e` and `-f` are
the parts at the published sizes, minutes to days of a CPU, and `luo2022-published` is the published protocol (12000
samples, 500 iterations, N = 40) with GPU budgets that are declarations: neither was run to its end here. The measure is
exact states; the published figures are not compared point by point.

Two kinds of methods stand side by side. From samples, as published or nearly: `l1(steady)` minimises the L1 norm of
dp/dt (var), `l1` follows the dynamics (dyn), `l1(dynamics, steady)` starts the dynamics from the steady objective's
network (var+dyn), and `tdvp` regresses (L p)/p on the scores. Without samples: `tebd` acts with local propagators on
the `matrix-product` network and cuts its bonds back (time-evolving block decimation), `tebd(steady)` goes on to late
times. It uses what no other network offers, that a local gate on it is a small matrix product. All goals are reached by
gates; its runs with other seeds differ only by the samples that the observables are read from. `mixture` is the string
state: string 0 the raster path, strings 1..k the images of the snake; `polynomial` has logits linear in products of
earlier outcomes.

To be seen below: minimising |dp/dt|_1 alone often ends in states that hardly move but are far from the steady state,
with sigma_x and sigma_y of either sign where symmetry makes them zero; following the dynamics does not, and for the
smaller network neither does the objective halfway between the two (`steady-mix`, `mix = 0.5`). On the 3x3 lattice this
is no matter of samples, since all 4^9 outcomes are summed over, nor of iterations alone: after the published 500, at
the rate of the published code, the objective is at 0.1 to 0.3 and sigma_z 0.04 to 0.06 from its exact value, but from
Jy = 1.2 on sigma_x and sigma_y are 0.3 to 0.5. With the mixed objective, as many iterations of the same network at the
same rate, in the same time, end 0.001 to 0.018 off in sigma_z (Jy = 1: 0.01 to 0.03) and at most 0.06 in sigma_x and
sigma_y, where Jy = 1.2 has one seed of three at 0.13; 200 iterations of the larger network (one seed) do so at Jy = 1.8
but go astray at 1.2. 200 iterations of the larger network, and 100 of 1 to 8 strings, with |dp/dt|_1 alone end further
away, in no order of the number of strings, and 500 of the larger do not get there either (`steady-var-wide-long`). The
dynamics that starts there (var+dyn) leaves such states slowly: at t = 1.8 sigma_z is 0.01 to 0.07 off ((2, 64) at Jy =
1.2: 0.5), and from Jy = 1.2 on sigma_x is mostly still 0.2 to 0.5; after the mixed objective (`steady-mix-dyn`) it
stays within a tenth. From all up, dynamics (dyn) comes to states 0.004 to 0.07 off in sigma_z and at most 0.09 in
sigma_x and sigma_y. Sampled regressions reach steady states of the Ising ring with pairs of outcomes alone (N = 8:
0.003 to 0.015, but at g = 5 that run went astray; N = 6 did not), and fail on the Heisenberg ring from -y, whose
correlations of many spins no sampled network tried here has followed (`ring-orders`: on a ring of five only order = 4,
the full table, does; pairs alone diverge).
"""
