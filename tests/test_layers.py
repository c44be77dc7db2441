"""Import directions: exact <- neural <- compare, never back; exact alone needs neither torch nor QuTiP nor QuSpin."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "exact": {"torch", "vanbench.neural", "vanbench.compare"},
    "neural": {"vanbench.compare"},
    "compare": set(),
}
LAZY = {"qutip", "quspin", "sklearn"}


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imported(nodes) -> set[str]:
    """Top-level names of imports; for ours, with the package: ``vanbench.neural``."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {room(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "vanbench":
            names |= {f"vanbench.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(room(str(node.module)))
    return names


def room(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "vanbench" else 1])


def relative(tree: ast.Module) -> list[int]:
    """Lines of relative imports."""
    return [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]


def at_import(tree: ast.Module):
    """Nodes that run when the module is imported: everything outside functions and TYPE_CHECKING blocks."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not guarded and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_backwards(package):
    for path in files(package):
        tree = ast.parse(path.read_text())
        where = path.relative_to(ROOT)
        assert not imported(ast.walk(tree)) & FORBIDDEN[package], where
        assert not imported(at_import(tree)) & LAZY, f"{where}: import {LAZY} inside functions"
        assert not relative(tree), f"{where}: imports are absolute, by vanbench."


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(map(room, out.stdout.split()))


def test_importing_and_using_exact_stays_inside():
    modules = loaded_by("from vanbench import exact\nexact.solve(exact.build('fa', (3,), c=0.3), 0.1)")
    assert "vanbench.exact" in modules
    assert not modules & {"torch", "vanbench.neural", "vanbench.compare", *LAZY}


def test_importing_every_module_of_exact_stays_inside():
    names = [
        ".".join(Path("vanbench", p.relative_to(ROOT)).with_suffix("").parts)
        for p in files("exact")
        if p.stem != "__init__"
    ]
    modules = loaded_by("import " + ", ".join(names))
    assert not modules & {"torch", "vanbench.neural", "vanbench.compare", *LAZY}


def test_importing_neural_stays_below_compare():
    modules = loaded_by("from vanbench.neural import track")
    assert {"vanbench.exact", "torch"} <= modules
    assert not modules & {"vanbench.compare", *LAZY}


SMALL = "['exact', 'fa', '--shape', '8', '--s', '0.1', '--method', 'lanczos', '-q']"
HEAVY = {"torch", "numba", "pandas", "matplotlib", *LAZY}


@pytest.mark.parametrize("words", ["['--help']", "['list']", SMALL], ids=["help", "list", "a small exact question"])
def test_what_a_command_needs_not_it_does_not_load(words):
    """Start-up is imports: seconds of torch, half a second each of numba and pandas."""
    quiet = "with contextlib.redirect_stdout(io.StringIO()):"
    call = f" application({words})({words}, standalone_mode=False)"
    run = f"import contextlib, io\nfrom vanbench.compare.cli import application\n{quiet}\n{call}"
    assert not loaded_by(run) & HEAVY


def test_dask_is_imported_only_when_it_is_asked_for():
    modules = loaded_by("import vanbench.compare.cli, vanbench.compare.run.suite")
    assert "vanbench.compare" in modules
    assert not modules & {"distributed", "dask"}


def test_the_general_harness_imports_no_study():
    for path in files("compare"):
        names = path.relative_to(ROOT / "compare").parts
        if names[0] != "studies":
            assert "compare.studies." not in path.read_text(), names


ROOMS = ("exact", "neural", "compare")
NAMED_BY_TEXT = ("vanbench.neural.architectures.mixture", "vanbench.neural.architectures")  # of networks by their names


def test_no_module_imports_itself_by_way_of_others():
    """Imports of functions and of TYPE_CHECKING blocks count: a circle that is only hidden is one."""
    names = {module(path): path for room in ROOMS for path in files(room)}
    graph = {name: imports(name, ast.parse(path.read_text()), names) for name, path in names.items()}
    mixture, architectures = NAMED_BY_TEXT
    graph[mixture].remove(architectures)
    with pytest.raises(CycleError):
        TopologicalSorter({**graph, mixture: {architectures}}).prepare()
    TopologicalSorter(graph).prepare()


def module(path: Path) -> str:
    parts = Path("vanbench", path.relative_to(ROOT)).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(name: str, tree: ast.Module, names: Container[str]) -> set[str]:
    """Modules of ours that ``name`` imports, with the packages they are in, which Python runs before them.

    Not those that ``name`` is in itself, unless their own names are asked for.
    """
    asked = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            each = {f"{node.module}.{alias.name}" for alias in node.names}
            asked |= {full if full in names else str(node.module) for full in each}
    found = {name for name in asked if name in names}
    for full in asked:
        parts = full.split(".")
        above = {".".join(parts[:k]) for k in range(1, len(parts))}
        found |= {package for package in above if package in names and not name.startswith(package + ".")}
    return found - {name}


def test_the_checks_can_fail():
    tree = ast.parse("import torch.nn\nfrom vanbench.compare.x import y\ndef f():\n    import qutip\nfrom ... import z")
    assert {"torch", "vanbench.compare", "qutip"} <= imported(ast.walk(tree))
    assert "qutip" not in imported(at_import(tree))
    assert relative(tree) == [5]
    ours = {"vanbench.a", "vanbench.a.b", "vanbench.a.b.c", "vanbench.d"}
    tree = ast.parse("from vanbench.a.b import c\ndef f():\n    from vanbench.a import x\nimport numpy")
    assert imports("vanbench.d", tree, ours) == {"vanbench.a", "vanbench.a.b", "vanbench.a.b.c"}
    assert imports("vanbench.a.b.e", tree, ours) == {"vanbench.a", "vanbench.a.b.c"}
