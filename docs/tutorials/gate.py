"""A gate in a project's CI: a network whose accuracy gets worse fails it.

In CI the two commands are lines of a workflow; their exit codes are docs/exit-codes.md.
"""

import subprocess
import sys
from pathlib import Path

# %% [markdown]
# The project: a network in a file, and a suite that says what it is held to.

# %%
NETWORK = """
import torch, vanbench

class Net(vanbench.Autoregressive):
    def __init__(self, shape, local_dim=2):
        super().__init__(shape, local_dim)
        self.weight = torch.nn.Parameter(torch.zeros(self.n_sites, self.n_sites))
        self.bias = torch.nn.Parameter(torch.zeros(self.n_sites))

    def logits(self, x):
        up = self.encode(x)[..., 0] @ (REACH * self.weight).tril(-1).T + self.bias  # of the sites before
        return torch.stack([-up, up], -1)

    def zero_output(self):
        torch.nn.init.zeros_(self.weight), torch.nn.init.zeros_(self.bias)
"""
Path("net.py").write_text(NETWORK.replace("REACH", "1"))
Path("suite.toml").write_text("""
version = 1
[[tasks]]
name = "east"
system = "east"
shapes = [4]
s = [0.5]
times = [1.0]
tracker = "tdvp"
seeds = 3
""")


# %%
def shell(words):
    """What a shell does, and its exit code."""
    return subprocess.run([sys.executable, "-m", *words.split()]).returncode


# %% [markdown]
# Once: run the suite, and accept what came of it. The baseline is a file of the project.

# %%
assert shell("vanbench run suite.toml --architecture net.py:Net --out accepted --quiet") == 0
assert shell("vanbench gate accepted --write baseline.json") == 0

# %% [markdown]
# At every change: run it again, and compare. Nothing changed here, and the gate passes.

# %%
assert shell("vanbench gate accepted --baseline baseline.json") == 0

# %% [markdown]
# Somebody breaks the network: sites no longer see each other. It still runs, and is less accurate: exit code 1.

# %%
Path("net.py").write_text(NETWORK.replace("REACH", "0"))
assert shell("vanbench run suite.toml --architecture net.py:Net --out changed --quiet") == 0
assert shell("vanbench gate changed --baseline baseline.json") == 1
