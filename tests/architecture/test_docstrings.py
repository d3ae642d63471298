"""Public functions have docstrings, and from three parameters on a section that names each of them, and no other."""

import ast
from textwrap import dedent

import pytest

from tests.support.docstrings import faults
from tests.support.source import MODULES, name_of, nodes_of, tree_of


def class_named() -> dict[str, ast.ClassDef]:
    """Every class of the package by name."""
    return {node.name: node for path in MODULES for node in nodes_of(tree_of(path)) if isinstance(node, ast.ClassDef)}


def faults_in(source: str) -> list[str]:
    """The faults of a small module."""
    return faults(ast.parse(dedent(source)), {})


def test_parameters_are_documented() -> None:
    known = class_named()
    found = {name_of(path): faults(tree_of(path), known) for path in MODULES}
    assert {name: those for name, those in found.items() if those} == {}


DOCUMENTED = '''
def window(samples, centre, width=1, *rest, exact=False, **options):
    """Apply a linear window (PS3.3 C.11.2.1.2).

    Parameters
    ----------
    samples : ndarray
        Modality values.
    centre, width : float
        In the samples' unit.
    *rest
    exact : bool
    **options
        What is passed on: none of it is looked at.

    Returns
    -------
    ndarray
        Of the same shape.
    """
'''


def test_a_full_section_is_right() -> None:
    assert faults_in(DOCUMENTED) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("centre, width : float", "centre : float"),
        ("centre, width : float", "centre, breadth : float"),
        ("centre, width : float", "width, centre : float"),
        ("exact : bool", "exact : bool\n    more : bool"),
        ("    **options\n        What is passed on: none of it is looked at.\n", ""),
        ("    Parameters\n    ----------", "    Notes\n    -----"),
    ],
    ids=["missing", "misspelt", "order", "too many", "keywords", "no section"],
)
def test_a_wrong_section_is_found(before: str, after: str) -> None:
    assert before in DOCUMENTED
    assert len(faults_in(DOCUMENTED.replace(before, after))) == 1


def test_what_needs_a_docstring() -> None:
    assert faults_in("def one(): ...") == ["1: one has no docstring"]
    assert faults_in("def _one(): ...") == []
    assert faults_in("class _One:\n    def one(self): ...") == []
    assert faults_in("class One:\n    def one(self): ...") == ["2: One.one has no docstring"]
    assert faults_in("class One:\n    @rule(a=b)\n    def one(self): ...") == []
    assert faults_in("def outer():\n    'Make a function.'\n    def inner(): ...") == []


def test_two_parameters_need_no_section_and_what_is_bound_is_none() -> None:
    assert faults_in("class One:\n    def one(self, a, b):\n        'Add two numbers.'") == []
    assert faults_in("class One:\n    @staticmethod\n    def one(a, b, c):\n        'Add three numbers.'") == [
        "3: One.one has no section on its 3 parameters"
    ]


def test_a_method_is_described_by_the_class_that_it_overrides() -> None:
    derived = """
        class Port:
            def put(self, a, b, c):
                'Store.'

        class Middle(Port): ...

        class Adapter(Middle):
            def put(self, a, b, c): ...

        class Other:
            def put(self, a, b, c): ...
        """
    assert faults_in(derived) == [
        "3: Port.put has no section on its 3 parameters",
        "12: Other.put has no docstring",
    ]


@pytest.mark.parametrize(
    ("summary", "found"),
    [
        ("Store a row, for `Port.put`.", []),
        ("Store a row, as `Port.put`.", []),
        ("Store a row, for `Port.get`.", ["6: put has no section on its 4 parameters"]),
        ("Store a row.", ["6: put has no section on its 4 parameters"]),
        (
            "Store a row, for `Port.put`.\n\n    Parameters\n    ----------\n    db, a, b, c : int\n    ",
            ["6: put documents again what Port.put does"],
        ),
    ],
    ids=["for", "as", "another verb", "none", "twice"],
)
def test_a_function_that_serves_a_port_is_described_by_it_alone(summary: str, found: list[str]) -> None:
    port = """
    class Port:
        def put(self, a, *b):
            'Store.'

    """
    assert faults_in(dedent(port) + f'def put(db, a, b, c):\n    """{summary}"""') == found
