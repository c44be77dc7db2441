"""An open quantum system: its density matrix, the same from QuTiP, and a network of measurement outcomes."""

import importlib.util

import vanbench

# %%
system = vanbench.build("tfim", 3)  # a chain that loses excitations, all spins up at first
exact = vanbench.solve(system, times=[0.5, 1.0], quantities=["sigma_z", "purity"])
print(exact[["quantity", "t", "value"]])

# %% [markdown]
# QuTiP, if it is installed, gives the same values: `python -m pip install 'vanbench[quantum]'`.

# %%
if importlib.util.find_spec("qutip"):
    other = vanbench.solve(system, times=[0.5, 1.0], quantities=["sigma_z", "purity"], method="qutip")
    assert abs(other.value - exact.value).max() < 1e-6

# %% [markdown]
# A network represents the distribution of measurement outcomes; here it is a matrix product, evolved by local
# propagators.

# %%
run = vanbench.track(
    system,
    times=0.5,
    quantities="sigma_z",
    architecture="matrix-product",
    architecture_options={"bond": 16},
    tracker="tebd",
)
print(run.errors(exact)[["quantity", "t", "value", "exact", "error"]])
assert run.errors(exact).error.abs().max() < 0.01
