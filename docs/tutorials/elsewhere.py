"""Results of another code: a table of its values, and samples of configurations, compared like a run.

The same from a shell: vanbench import suite.toml theirs.csv samples.npz --label "their code" --out runs/theirs
"""

from pathlib import Path

import numpy as np

import vanbench
from vanbench.compare.cli import main

# %% [markdown]
# A suite says which values are asked for.

# %%
Path("suite.toml").write_text("""
version = 1
[[tasks]]
name = "east"
system = "east"
shapes = [4]
s = [0.1]
times = [1.0]
quantities = ["ln_Z", "density", "distribution"]
""")

# %% [markdown]
# The other code answered with three seeds. Here, the exact value with some noise stands in for its results.

# %%
noise = np.random.default_rng(0)
lines = ["shape,s,t,quantity,value,stderr,seed,cpu_s"]
exact = vanbench.solve(vanbench.build("east", 4), s=0.1, times=1.0, quantities="ln_Z").value.item()
lines += [f"4,0.1,1,ln_Z,{exact + 1e-3 * noise.normal()},1e-3,{seed},12" for seed in (1, 2, 3)]
Path("theirs.csv").write_text("\n".join(lines))
for seed in (1, 2, 3):
    np.savez(f"samples{seed}.npz", x=noise.integers(0, 2, (2000, 4)), s=0.1, t=1.0, seed=seed)


# %% [markdown]
# `vanbench import` turns its values into records of the suite.


# %%
def vanbench_command(*words):
    """As typed in a shell, where it would end with this exit code."""
    try:
        main(list(words))
    except SystemExit as stop:
        return stop.code


files = ["theirs.csv", *(f"samples{seed}.npz" for seed in (1, 2, 3))]
assert vanbench_command("import", "suite.toml", *files, "--label", "their code", "--out", "theirs") == 0
assert vanbench_command("table", "theirs") == 0
assert vanbench_command("table", "theirs", "--quantity", "density") == 0
