"""Names of classes, each of which occurs once in the package, the tests and the benchmarks."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tests.support.checkout import CHECKOUT
from tests.support.source import MODULES, nodes_of, tree_of


def repeated(modules: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Names of classes that occur more than once, with the modules that define them."""
    places = defaultdict(list)
    for place, tree in modules.items():
        for name in class_names(nodes_of(tree)):
            places[name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def class_names(nodes: Iterable[ast.AST]) -> Iterable[str]:
    """The names that classes are given."""
    return (node.name for node in nodes if isinstance(node, ast.ClassDef))


def test_class_names_occur_once() -> None:
    sources = [*MODULES, *CHECKOUT.glob("tests/**/*.py"), *CHECKOUT.glob("benchmarks/*.py")]
    assert repeated({str(path.relative_to(CHECKOUT)): tree_of(path) for path in sources}) == {}


def test_a_repeated_name_is_found() -> None:
    one, two = ast.parse("class Plane: ..."), ast.parse("def make():\n    class Plane: ...\n    class Frame: ...")
    assert repeated({"one": one, "two": two}) == {"Plane": ["one", "two"]}
    assert repeated({"one": one, "three": ast.parse("class Frame: ...")}) == {}
