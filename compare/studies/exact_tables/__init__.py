"""Exact tables of the sizes that the literature plots, their critical fields, published values beside them."""
