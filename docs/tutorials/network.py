"""Your own network: followed in time, compared with the exact vector, saved and evaluated."""

import torch

import vanbench

# %% [markdown]
# A network returns logits; entry i may depend only on the sites before i.


# %%
class MyNet(vanbench.Autoregressive):
    """Each site sees the mean of the sites before it."""

    def __init__(self, shape, local_dim=2, width=8):
        super().__init__(shape, local_dim)
        self.hidden = torch.nn.Linear(1, width)
        self.output = torch.nn.Linear(width, local_dim, bias=False)

    def logits(self, x):
        spins = self.encode(x)[..., 0]
        before = spins.cumsum(1) - spins  # entry i must see only the sites before i
        return self.output(torch.tanh(self.hidden(before[..., None] / self.n_sites)))


# %% [markdown]
# The network follows the system in time, with one copy for each counting field; the exact values are computed as well.

# %%
system = vanbench.build("east", 5)
run = vanbench.track(system, s=[0.1, 0.3], times=[0.5, 1.0], architecture=MyNet, tracker="tdvp")
print(run)
print(run.pivot("ln_Z"))  # a row a time, a column a field
errors = run.errors()  # against the exact values, which are solved here
print(errors[["quantity", "s", "t", "value", "exact", "relative_error"]])
assert errors.relative_error.max() < 0.05

# %% [markdown]
# The trained network for s = 0.1 is a torch module: save it, and compare it with the exact distribution.

# %%
net = run.network(0)
torch.save(net.state_dict(), "net.pt")
apart = vanbench.evaluate(system, net, s=[0.1], times=[1.0]).set_index("quantity")
print(apart[["value", "exact"]])
assert apart.value["total_variation"] < 0.05

# %% [markdown]
# `vanbench.wrap` turns a plain torch module into a network: docs/networks.md.
