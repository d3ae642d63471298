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
    """Full names that a module imports anywhere: in functions, for type checking, and by `import_module`, too."""
    return imports_in(tree_of(path), path)


def imports_in(tree: ast.Module, path: Path) -> set[str]:
    """Full names that a tree imports; `path` is for the error."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "import_module",
            "__import__",
        ):
            names |= {
                each.value for each in node.args[:1] if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }
    return names


@cache
def graph() -> Mapping[str, frozenset[str]]:
    """Each of our modules with those of ours that it imports, and the packages around these, which run before them."""
    known = {name_of(path): path for path in MODULES}

    def ours(imported: str) -> str | None:
        name = imported.removeprefix("neurdicom").lstrip(".")
        if not imported.startswith("neurdicom.") or name in known:
            return name if imported.startswith("neurdicom.") else None
        holder = name.rpartition(".")[0]
        return holder if holder in known and holder else None

    def around(module: str, importer: str) -> set[str]:
        """The packages that a module lies in, but for those that the importer lies in, too."""
        parts = module.split(".")
        packages = {".".join(parts[:count]) for count in range(1, len(parts))}
        return {package for package in packages if not f"{importer}.".startswith(f"{package}.")}

    edges = {}
    for name, path in known.items():
        found = {module for each in imports_of(path) if (module := ours(each))}
        edges[name] = frozenset(found.union(*(around(module, name) for module in found)) - {name})
    return edges
