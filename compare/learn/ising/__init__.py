"""Learning a Hamiltonian from configurations, judged against exact Ising results."""
