"""Every change that the run knows: one comparison, sign, factor or constant of one line, by cosmic-ray's operators."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators import (
    binary_operator_replacement,
    boolean_replacer,
    comparison_operator_replacement,
    number_replacer,
    unary_operator_replacement,
)
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Leaf
from parso.tree import NodeOrLeaf

from . import tree

SWAPPED = {"max": "min", "maximum": "minimum", "argmax": "argmin", "clamp_min": "clamp_max", "+=": "-=", "*=": "/="}
SWAPPED |= {new: old for old, new in SWAPPED.items()}


class Swap(Operator):
    """``max`` for ``min``, ``+=`` for ``-=`` and the like, which cosmic-ray leaves alone."""

    def mutation_positions(self, node):
        if isinstance(node, Leaf) and node.value in SWAPPED and not self._keyword(node):
            yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):
        node.value = SWAPPED[node.value]
        return node

    @staticmethod
    def _keyword(node):
        return node.parent.type in ("argument", "param") and node.parent.children[0] is node

    @classmethod
    def examples(cls):
        return (Example("max(x, y)", "min(x, y)"), Example("x += 1", "x -= 1"))


class Number(number_replacer.NumberReplacer):
    """A constant plus or minus one, where it stands; none that is so large that this changes nothing."""

    def mutation_positions(self, node):
        if isinstance(node, Leaf) and node.type == "number":
            value = ast.literal_eval(node.value)
            return [(node.start_pos, node.end_pos) for offset in number_replacer.OFFSETS if value + offset != value]
        return []

    def mutate(self, node, index):
        node.value = str(ast.literal_eval(node.value) + number_replacer.OFFSETS[index])
        return node


BINARY = (
    "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul LShift_RShift RShift_LShift BitAnd_BitOr "
    "BitOr_BitAnd BitXor_BitAnd"
)
COMPARISON = "Lt_LtE LtE_Lt Gt_GtE GtE_Gt Lt_GtE LtE_Gt Gt_LtE GtE_Lt Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
OPERATORS: dict[str, Operator] = {
    **{n: getattr(binary_operator_replacement, f"ReplaceBinaryOperator_{n}")() for n in BINARY.split()},
    **{n: getattr(comparison_operator_replacement, f"ReplaceComparisonOperator_{n}")() for n in COMPARISON.split()},
    "Delete_USub": unary_operator_replacement.ReplaceUnaryOperator_Delete_USub(),
    "Delete_Not": unary_operator_replacement.ReplaceUnaryOperator_Delete_Not(),
    "True_False": boolean_replacer.ReplaceTrueWithFalse(),
    "False_True": boolean_replacer.ReplaceFalseWithTrue(),
    "Number": Number(),
    "Swap": Swap(),
}
TOKENS = {*(operator.value for operator in binary_operator_replacement.BinaryOperators), "True", "False", *SWAPPED}
# What judges in compare/: the rest of that package draws, prints and parses.
JUDGING = (
    "judge/checks judge/collect judge/distances judge/errors judge/gate judge/goals judge/growth judge/power "
    "run/missing run/references show/stale show/report/marks show/report/verdict learn/cycles/stats "
    "studies/luo2022/collect studies/tang2024/bands studies/tang2024/critical studies/tang2024/phases "
    "studies/tang2024/scaling studies/tang2024/transition studies/wang2020/causes"
)


@dataclass(frozen=True)
class Mutant:
    """One change. What names it is the text around it, so that a change elsewhere in the file leaves it what it is."""

    file: str
    function: str
    text: str  # of the line
    operator: str
    repeat: int  # among the same changes of equal lines of the function
    line: int
    column: int
    occurrence: int  # of the operator, in the file

    @property
    def key(self) -> str:
        return " | ".join((self.file, self.function, self.text, self.operator, str(self.repeat)))

    @property
    def place(self) -> tuple[str, int, int]:
        return self.file, self.line, self.column

    def rank(self, seed: int) -> str:
        return hashlib.sha256(f"{seed} {self.key}".encode()).hexdigest()

    def apply(self, source: str) -> str:
        changed = mutate_code(source, OPERATORS[self.operator], self.occurrence)
        assert changed is not None, self.key
        return changed

    def change(self, source: str) -> str:
        """The changed line."""
        return self.apply(source).splitlines()[self.line - 1].strip()


def files() -> list[str]:
    judging = {f"compare/{name}.py" for name in JUDGING.split()}
    kept = (f for f in tree.sources() if f.endswith(".py"))
    return [f for f in kept if f.startswith(("exact/", "neural/")) or f in judging]


def _interesting(node: NodeOrLeaf) -> bool:
    """Whether some operator may change ``node``: to ask all of them about every node takes a minute."""
    if isinstance(node, Leaf):
        return node.type == "number" or node.value in TOKENS
    return node.type in ("comparison", "factor", "not_test")


def _function(node: NodeOrLeaf) -> str:
    names = []
    while (node := node.parent) is not None:
        if node.type in ("funcdef", "classdef"):
            names.append(node.name.value)
    return ".".join(reversed(names))


def _annotates(node: NodeOrLeaf) -> bool:
    """Whether ``node`` stands in an annotation, which nothing evaluates."""
    while node.parent is not None:
        parent = node.parent
        if parent.type == "annassign" and parent.children[1] is node:
            return True
        if parent.type == "tfpdef" and parent.children[2] is node:
            return True
        if parent.type == "funcdef" and node is parent.annotation:
            return True
        node = parent
    return False


def _joins(node: NodeOrLeaf) -> bool:
    """Whether ``node`` is the ``/`` or ``+`` before a string: it joins a path or a text."""
    return (
        isinstance(node, Leaf) and node.value in ("/", "+") and node.get_next_leaf().type in ("string", "fstring_start")
    )


def mutants(file: str) -> Iterator[Mutant]:
    source = (tree.ROOT / file).read_text()
    lines = source.splitlines()
    nodes = [node for node in ast_nodes(get_ast(source)) if _interesting(node)]
    repeats: Counter[tuple[str, ...]] = Counter()
    for name, operator in OPERATORS.items():
        occurrence = 0
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                identity = file, _function(node), lines[line - 1].strip(), name
                if not (_annotates(node) or _joins(node)):
                    yield Mutant(*identity, repeats[identity], line, column, occurrence)
                repeats[identity] += 1
                occurrence += 1


def ranked(seed: int) -> list[Mutant]:
    """One change of every place, in the order in which a sample takes them."""
    chosen: dict[tuple[str, int, int], Mutant] = {}
    for file in files():
        for mutant in mutants(file):
            other = chosen.get(mutant.place)
            if other is None or mutant.rank(seed) < other.rank(seed):
                chosen[mutant.place] = mutant
    return sorted(chosen.values(), key=lambda mutant: mutant.rank(seed))
