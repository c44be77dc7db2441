"""References beyond exact vectors: ln Z, densities and theta by matrix products, each with its error."""
