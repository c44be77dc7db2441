"""The tests that reach a line. Coverage sees Python alone: what numba compiled, and what an import ran, is reached by
the functions that name it.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import tree
from .places import Mutant


@dataclass
class Scope:
    """A function, or a statement of a module or class outside functions: what it names, what names it."""

    file: str
    names: set[str]  # by which others call it
    mentions: set[str]
    lines: range
    function: bool = True
    compiled: bool = False

    @property
    def seen(self) -> bool:
        """Whether coverage sees it run when it is used."""
        return self.function and not self.compiled


@dataclass
class Module:
    scopes: list[Scope] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)  # of statements, headers alone of compound ones


def _mentions(node: ast.AST) -> set[str]:
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _compiled(body: ast.AST) -> set[str]:
    """Names of functions that numba compiles: decorated, or handed to `both`."""
    out = set()
    for node in ast.walk(body):
        if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(d) for d in node.decorator_list):
            out.add(node.name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("both", "njit"):
            out |= {a.id for a in node.args if isinstance(a, ast.Name)}
    return out


def _scopes(file: str, body: list[ast.stmt], owners: tuple[str, ...], compiled: set[str]) -> Iterator[Scope]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            names = {node.name, *owners}
            lines = range(node.lineno, node.end_lineno + 1)
            yield Scope(file, names, _mentions(node), lines, compiled=node.name in compiled)
        elif isinstance(node, ast.ClassDef):
            yield from _scopes(file, node.body, (*owners, node.name), compiled)
        else:
            stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            lines = range(node.lineno, node.end_lineno + 1)
            yield Scope(file, stored | set(owners), _mentions(node) - stored, lines, function=False)


def module(file: str) -> Module:
    parsed = ast.parse((tree.ROOT / file).read_text())
    out = Module(list(_scopes(file, parsed.body, (), _compiled(parsed))))
    for node in ast.walk(parsed):
        if isinstance(node, ast.ImportFrom | ast.Import):
            out.imports |= {part for a in node.names for part in a.name.split(".")}
            out.imports |= set((getattr(node, "module", None) or "").split("."))
        if isinstance(node, ast.stmt):
            inner = getattr(node, "body", None) or getattr(node, "cases", None)
            first = inner[0].pattern if inner and hasattr(inner[0], "pattern") else inner[0] if inner else None
            out.spans.append((node.lineno, max(node.lineno, first.lineno - 1) if first else node.end_lineno))
    return out


class Reach:
    def __init__(self, covered: dict[str, dict[str, Any]]) -> None:
        """``covered``: as `coverage_map.complete` returns it."""
        self.seconds = {t: d["seconds"] for known in covered.values() for t, d in known["tests"].items() if d["passed"]}
        self._by_line: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for known in covered.values():
            users: dict[str, set[str]] = defaultdict(set)
            for test, found in known["tests"].items():
                for name in found["fixtures"]:
                    users[f"fixture {name}"].add(test)
            for context, lines in known["lines"].items():
                tests = {t for t in users.get(context, {context}) if t in self.seconds}
                for file, numbers in lines.items():
                    for number in numbers:
                        self._by_line[file][number] |= tests
        python = [f for f in tree.sources() if f.endswith(".py") and not f.startswith("tests/")]
        self._modules = {file: module(file) for file in python}

    def tests(self, mutant: Mutant) -> tuple[set[str], bool]:
        """The tests that reach the changed line, and whether compiled code has to be made anew for them."""
        known = self._modules[mutant.file]
        spans = [(a, b) for a, b in known.spans if a <= mutant.line <= b]
        first, last = min(spans, key=lambda span: span[1] - span[0], default=(mutant.line, mutant.line))
        scope = next((s for s in known.scopes if mutant.line in s.lines), None)
        own = self._on(mutant.file, range(first, last + 1))
        if scope is None:
            return own, False
        # What an import ran has more users than the test that happened to import it.
        if not scope.seen:
            named, compiled = self._named(scope)
            return own | named, compiled
        header = first == scope.lines.start  # a default value, evaluated once
        return (own | self._on(mutant.file, scope.lines) if header else own), False

    def _on(self, file: str, lines: range) -> set[str]:
        return set().union(*(self._by_line[file][line] for line in lines))

    def _named(self, start: Scope) -> tuple[set[str], bool]:
        found, compiled, waiting, done = set(), start.compiled, [start], {id(start)}
        while waiting:
            scope = waiting.pop()
            for file, other in self._modules.items():
                if file != scope.file and not {scope.file.split("/")[-1][:-3], *scope.names} & other.imports:
                    continue
                for user in other.scopes:
                    if id(user) in done or not user.mentions & scope.names:
                        continue
                    done.add(id(user))
                    compiled |= user.compiled
                    found |= self._on(file, user.lines)
                    if not user.seen:
                        waiting.append(user)
        return found, compiled
