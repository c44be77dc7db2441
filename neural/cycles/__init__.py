"""Training of the two-kernel generative Markov chain and of its equilibrium baseline."""
