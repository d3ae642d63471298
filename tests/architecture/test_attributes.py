"""A class that does things has ten attributes at most; what has more is two classes. Dataclasses hold documents."""

import ast

from tests.support.source import MODULES, name_of, nodes_of, tree_of

MOST = 10


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def attributes(node: ast.ClassDef) -> set[str]:
    """Names that the methods of a class give to what they keep on `self`."""
    return {
        each.attr
        for each in nodes_of(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }


def crowded(tree: ast.Module) -> dict[str, int]:
    """Classes with more attributes than they may have, and how many those are."""
    classes = [node for node in nodes_of(tree) if isinstance(node, ast.ClassDef) and not is_dataclass(node)]
    return {node.name: count for node in classes if (count := len(attributes(node))) > MOST}


def test_no_class_has_more_than_ten_attributes() -> None:
    assert {name_of(path): found for path in MODULES if (found := crowded(tree_of(path)))} == {}


def test_a_crowded_class_is_found() -> None:
    names = [f"self.a{number}" for number in range(MOST)]
    body = f"class Crowd:\n def __init__(self): {', '.join(names)} = {', '.join('1' * MOST)}\n"
    assert crowded(ast.parse(body)) == {}
    for more in ("self.last: int = 1", "(a, (self.last, *b)) = c", "[self.last] = c", "self.last += 1"):
        assert crowded(ast.parse(body + f" def more(self, b, c): {more}")) == {"Crowd": MOST + 1}
    assert crowded(ast.parse(body + " def more(self):\n  for self.last in range(3): ...")) == {"Crowd": MOST + 1}
