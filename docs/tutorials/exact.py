"""Exact values and a figure: the East model in its s-ensemble.

docs/what-is-measured.md defines Z_t(s), s and k.
"""

import matplotlib.pyplot as plt

import vanbench

# %% [markdown]
# A system is given by a name, lattice lengths and parameters. `solve` returns an ordinary pandas table.

# %%
system = vanbench.build("east", 6, c=0.5)  # a chain of six sites; (3, 2) is a lattice
print(system)

table = vanbench.solve(system, s=[-0.2, 0.0, 0.2], times=[1, 2, 5, 10], quantities=["ln_Z", "activity", "scgf"])
print(table[["quantity", "s", "t", "value"]])

# %%
activity = table[table.quantity == "activity"].pivot(index="t", columns="s", values="value")
activity.plot(xlabel="t", ylabel="activity k", marker="o")
plt.savefig("activity.png")

# %% [markdown]
# At s = 0 the activity is that of equilibrium at all times; a positive s favours quiet trajectories.

# %%
assert abs(activity[0.0].max() - activity[0.0].min()) < 1e-6
assert (activity[0.2] < activity[0.0]).all()
