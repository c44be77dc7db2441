"""Small systems on sparse matrices: the generator, its evolution, its leading eigenvalues."""
