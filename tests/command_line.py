"""What tests of the command line share: a tiny suite, a system and a network of a user, a call."""

from __future__ import annotations

from vanbench.compare.cli import main

TINY_SUITE = """
version = 1
[[tasks]]
name = "tiny"
system = "east"
shapes = [[2], [3]]
s = [0.1]
times = [0.1, 0.2]
quantities = ["ln_Z", "density", "distribution"]
architectures = ["bernoulli"]
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5, order = 1, full_summation = false}
seeds = 3
"""
SYSTEM_FILE = """
import numpy as np
from vanbench.exact import System, jumps

def make(shape, rate=1.0):
    flip = rate * np.array([[0.0, 1.0], [1.0, 0.0]])
    n = int(np.prod(shape))
    terms = tuple(jumps((i,), flip) for i in range(n))
    return System("flips", shape, 2, terms, np.full((n, 2), 0.5), params={"rate": rate})

def broken(shape):
    return 3
"""
NETWORK_FILE = """
from vanbench.neural import Autoregressive

class Mine(Autoregressive):
    def __init__(self, shape, local_dim=2, scale=1.0):
        super().__init__(shape, local_dim)

    def logits(self, x):
        return self.site_bias.new_zeros(*x.shape, self.local_dim)

    def zero_output(self):
        pass
"""


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
