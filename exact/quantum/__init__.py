"""Open quantum spin systems: Liouvillians, measurement (POVM) dynamics, counting statistics, trajectories."""

from vanbench.exact.definitions.lindblad import Jump, Lindblad, LocalOperator
from vanbench.exact.definitions.povm import OpenQuantum, Povm, four_pauli, povm_by_name, tetrahedral
from vanbench.exact.quantum.models import heisenberg_model, product_state, tfim_model
from vanbench.exact.quantum.povm import povm_system

__all__ = [
    "Jump",
    "Lindblad",
    "LocalOperator",
    "OpenQuantum",
    "Povm",
    "four_pauli",
    "heisenberg_model",
    "povm_by_name",
    "povm_system",
    "product_state",
    "tetrahedral",
    "tfim_model",
]
