"""Import directions: exact <- neural <- compare, never back; exact alone needs neither torch nor QuTiP nor QuSpin."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"exact": {"torch", "neural", "compare"}, "neural": {"compare"}, "compare": set()}
LAZY = {"qutip", "quspin", "sklearn"}


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imported(nodes) -> set[str]:
    """Top-level names of absolute imports."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


def escapes(tree: ast.Module, depth: int) -> list[int]:
    """Lines of relative imports that leave the package, for a file ``depth`` folders below its top."""
    return [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level > depth + 1]


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
        assert not escapes(tree, len(where.parts) - 2), where


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_importing_and_using_exact_stays_inside():
    modules = loaded_by("from vanbench import exact\nexact.solve(exact.build('fa', (3,), c=0.3), 0.1)")
    assert "exact" in modules
    assert not modules & {"torch", "neural", "compare", *LAZY}


def test_importing_every_module_of_exact_stays_inside():
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files("exact") if p.stem != "__init__"]
    modules = loaded_by("import " + ", ".join(names))
    assert not modules & {"torch", "neural", "compare", *LAZY}


def test_importing_neural_stays_below_compare():
    modules = loaded_by("from vanbench import neural")
    assert {"exact", "torch"} <= modules
    assert not modules & {"compare", *LAZY}


def test_dask_is_imported_only_when_it_is_asked_for():
    modules = loaded_by("import vanbench.compare.cli, vanbench.compare.run.suite")
    assert "compare" in modules
    assert not modules & {"distributed", "dask"}


def test_the_checks_can_fail():
    tree = ast.parse("import torch.nn\nfrom compare.x import y\ndef f():\n    import qutip\nfrom ... import z")
    assert imported(ast.walk(tree)) == {"torch", "compare", "qutip"}
    assert imported(at_import(tree)) == {"torch", "compare"}
    assert escapes(tree, 0) == [5]
    assert escapes(tree, 2) == []
