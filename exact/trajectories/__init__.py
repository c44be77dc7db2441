"""Trajectories of the jump process: Gillespie's algorithm and the population dynamics of clones."""
