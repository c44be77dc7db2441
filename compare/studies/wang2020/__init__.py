"""The study of Wang, Jiang and Zhou (2020): a Hamiltonian learned from Ising configurations."""
