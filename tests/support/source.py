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
    """Parse a module, once in a process."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """List what `ast.walk` gives but for the contexts of names, once for each tree."""
    nodes = [tree]
    for node in nodes:
        for value in vars(node).values():
            if isinstance(value, list):
                nodes += [each for each in value if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                nodes.append(value)
    return tuple(nodes)


@cache
def imports_of(path: Path) -> Mapping[str, int]:
    """Full names that a module imports, with lines: in functions, for type checking, and by `import_module`."""
    return imports_in(tree_of(path), path)


def imports_in(tree: ast.Module, path: Path) -> Mapping[str, int]:
    """Full names that a tree imports, and the line of the first import of each; `path` is for the error."""
    names: dict[str, int] = {}
    for node in nodes_of(tree):
        match node:
            case ast.Import():
                found = [alias.name for alias in node.names]
            case ast.ImportFrom():
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                found = [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found = [name]
            case _:
                continue
        for name in found:
            names[name] = min(node.lineno, names.get(name, node.lineno))
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
