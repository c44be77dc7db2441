"""References beyond exact vectors: ln Z, densities and theta of larger systems by matrix products, each with its error."""
