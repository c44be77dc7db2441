"""Operators applied without storing them, and what their Krylov spaces give: any size whose vectors fit."""
