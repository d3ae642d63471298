"""The package's source as its imports and definitions tell of it."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.support.checkout import CHECKOUT

PACKAGE = CHECKOUT / "neurdicom"

#: All modules; templates of plugins are no modules of ours.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)


def name_of(path: Path) -> str:
    """Name a module below `neurdicom` (`dicom.codec.scan`); a package goes by its own name, the root by ``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """Full names that a module imports anywhere: in functions and for type checking, too."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def graph() -> Mapping[str, frozenset[str]]:
    """Each of our modules with those of ours that it imports."""
    known = {name_of(path): path for path in MODULES}

    def ours(imported: str) -> str | None:
        name = imported.removeprefix("neurdicom").lstrip(".")
        if not imported.startswith("neurdicom.") or name in known:
            return name if imported.startswith("neurdicom.") else None
        holder = name.rpartition(".")[0]
        return holder if holder in known and holder else None

    return {
        name: frozenset(found for each in imports_of(path) if (found := ours(each)) and found != name)
        for name, path in known.items()
    }
