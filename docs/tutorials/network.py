"""A network of one's own: followed in time, compared with the exact vector, kept and evaluated."""

import torch

import vanbench

# %% [markdown]
# A network gives logits: entry i may depend on the sites before i alone.


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
# It follows the system in time, a copy for each counting field; the exact values are solved beside it.

# %%
system = vanbench.build("east", 5)
run = vanbench.track(system, s=[0.1, 0.3], times=[0.5, 1.0], architecture=MyNet, tracker="tdvp")
print(run)
print(run.pivot("ln_Z"))  # a row a time, a column a field
errors = run.errors()  # against the exact values, which are solved here
print(errors[["quantity", "s", "t", "value", "exact", "relative_error"]])
assert errors.relative_error.max() < 0.05

# %% [markdown]
# The trained network of s = 0.1 is a torch module: keep it, and hold it against the exact distribution.

# %%
net = run.network(0)
torch.save(net.state_dict(), "net.pt")
apart = vanbench.evaluate(system, net, s=[0.1], times=[1.0]).set_index("quantity")
print(apart[["value", "exact"]])
assert apart.value["total_variation"] < 0.05

# %% [markdown]
# A plain torch module becomes a network by `vanbench.wrap`: docs/networks.md.
