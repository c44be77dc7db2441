"""Your own system: spins on a ring that flip alone and copy a neighbour, as a list of local terms."""

import numpy as np

import vanbench
from vanbench.exact import System, jumps

# %% [markdown]
# A term is a matrix on a few sites, column = from, row = to; `jumps` makes it from the rates alone.


# %%
def make(shape, rate=1.0, copying=0.3):
    n = int(np.prod(shape))
    flip = rate * np.array([[0.0, 1.0], [1.0, 0.0]])  # column = from, row = to
    copy = np.zeros((4, 4))
    copy[0b11, 0b01] = copy[0b00, 0b10] = copying  # of the sites (i, j): i takes the value of j
    terms = [jumps((i,), flip) for i in range(n)] + [jumps((i, (i + 1) % n), copy) for i in range(n)]
    start = np.full((n, 2), 0.5)  # a product distribution, (site, value)
    return System("coin", shape, 2, tuple(terms), start, params={"rate": rate, "copying": copying})


# %%
system = make(5)
exact = vanbench.solve(system, s=0.1, times=[1, 2], quantities=["ln_Z", "density"])
print(exact[["quantity", "t", "value"]])
assert np.allclose(exact[exact.quantity == "density"].value, 0.5)  # up and down are alike

# %% [markdown]
# A network follows it like any built-in system.

# %%
run = vanbench.track(system, s=0.1, times=[1, 2], tracker="tdvp")
print(run.errors(exact)[["quantity", "t", "value", "exact", "error"]])
