"""What a system is: lattice, local terms, states, connections."""
