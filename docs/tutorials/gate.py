"""A gate in a project's CI: a network whose accuracy gets worse fails it.

In CI the two commands are lines of a workflow; docs/exit-codes.md lists their exit codes.
"""

from pathlib import Path

from vanbench.compare.cli import main

# %% [markdown]
# The project has a network in a file, and a suite that says what is checked.

# %%
NETWORK = """
import torch, vanbench

class Net(vanbench.Autoregressive):
    def __init__(self, shape, local_dim=2):
        super().__init__(shape, local_dim)
        self.weight = torch.nn.Parameter(torch.zeros(self.n_sites, self.n_sites))
        self.bias = torch.nn.Parameter(torch.zeros(self.n_sites))

    def logits(self, x):
        up = self.encode(x)[..., 0] @ self.weight.tril(-1).T + self.bias  # of the sites before
        return SCALE * torch.stack([-up, up], -1)

    def zero_output(self):
        torch.nn.init.zeros_(self.weight), torch.nn.init.zeros_(self.bias)
"""
Path("net.py").write_text(NETWORK.replace("SCALE", "1"))
Path("suite.toml").write_text("""
version = 1
[[tasks]]
name = "east"
system = "east"
shapes = [4]
s = [1.0]
times = [1.0]
tracker = "kl"
tracker_options = {dt = 0.25, epochs = 30, first_epochs = 60, learning_rate = 0.02}
quantities = ["ln_Z", "density"]
seeds = 3
""")


# %%
def shell(words):
    """As typed in a shell; its exit code."""
    try:
        main(words.split()[1:])
    except SystemExit as stop:
        return stop.code


# %% [markdown]
# Once: run the suite and accept its results. The baseline is a file of the project.

# %%
assert shell("vanbench run suite.toml --architecture net.py:Net --out accepted --quiet") == 0
assert shell("vanbench gate accepted --write baseline.json") == 0

# %% [markdown]
# After every change: run the suite again and compare. Nothing has changed here, so the gate passes.

# %%
assert shell("vanbench gate accepted --baseline baseline.json") == 0

# %% [markdown]
# Now somebody scales the logits down, so that a step of Adam hardly moves them. The network still runs, but is less
# accurate: exit code 1.

# %%
Path("net.py").write_text(NETWORK.replace("SCALE", "0.01"))
assert shell("vanbench run suite.toml --architecture net.py:Net --out changed --quiet") == 0
assert shell("vanbench gate changed --baseline baseline.json") == 1
