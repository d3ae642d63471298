"""The rules of the layout: imports point down, foreign libraries stay in their place, modules stay small."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.source import MODULES, PACKAGE, imports_of, tree_of

#: The ladder, from the bottom: a module imports from its own part, or from parts on lower rungs, never from beside.
LADDER = (
    ("addresses", "errors", "logs", "wire"),
    ("schema",),
    ("config", "data_folder", "dicom", "client", "installation"),
    ("catalog", "blobs", "pixels"),
    ("coordination", "fairness"),
    ("workers", "security"),
    ("jobs", "archive", "plugins"),
    ("processing",),
    ("nodes", "rules"),
    ("http",),
    ("web", "dicomweb", "dimse"),
    ("app",),
    ("cli",),
)
HEIGHTS = {part: height for height, rung in enumerate(LADDER) for part in rung}

#: Parts beside the ladder: the start, and what ships for tests.
TOP = {"__init__", "__main__", "testing"}

#: Library to the places that may import it, as path prefixes under neurdicom/.
CONFINED = {
    "highdicom": ("processing/dicom_output/",),
    "jsonschema": ("schema/",),
    "jsonschema_rs": ("schema/",),
    "motor": ("catalog/mongo",),
    "pymongo": ("catalog/mongo",),
    "bson": ("catalog/mongo",),
    "sqlite3": ("catalog/sqlite",),
    "tornado": ("http/",),
    "httpx": ("client/", "dicomweb/client"),
    "pynetdicom": ("dimse/",),
    "distributed": ("workers/dask",),
    "dask": ("workers/dask",),
    "neurdicom._bridge": ("workers/loaders/native.py",),
    "neurdicom._pixels": ("pixels/kernels.py",),
    "imagecodecs": ("pixels/",),
    "onnxruntime": ("workers/model/session.py",),
    "onnx": ("workers/model/graph.py",),
    "PIL": ("pixels/", "workers/"),
}

#: Adapters of ports, which the composition root alone names, and who else does, with the reason.
ADAPTERS = ("catalog.sqlite", "catalog.mongo", "blobs.local", "workers.dask", "dicomweb.client", "dimse.peer")
ALSO_NAMED = {
    "processing/result_files.py": "results lie in a blob store of their own, on the local disk whatever holds images"
}

#: Modules that may exceed 400 lines, or have fewer than 35, with the reason.
LONG: dict[str, str] = {}
SHORT = {
    "neurdicom/__main__.py": "what `python -m neurdicom` runs",
    "neurdicom/pixels/decode/preload.py": "its import is its effect, which only the process that forks workers wants",
}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def place_of(path: Path, line: int) -> str:
    """Name a line of a module as an editor opens it."""
    return f"{path.relative_to(CHECKOUT)}:{line}"


def climbing(path: Path, imported: Mapping[str, int]) -> list[str]:
    """Say what a module imports from above or beside its own part."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in TOP:
        return []
    if own not in HEIGHTS:
        return [f"{place_of(path, 1)}: {own} has no place in the ladder"]
    found = []
    for name, line in imported.items():
        other = part_of(name)
        if not name.startswith("neurdicom.") or other in ("__version__", "_bridge", "_pixels"):
            continue
        if other not in HEIGHTS:
            found.append(f"{place_of(path, line)}: {own} imports {name}, which has no place in the ladder")
        elif HEIGHTS[other] > HEIGHTS[own]:
            found.append(f"{place_of(path, line)}: {own} imports {name}, which lies above it")
        elif HEIGHTS[other] == HEIGHTS[own] and other != own:
            found.append(f"{place_of(path, line)}: {own} imports {name}, which lies beside it")
    return found


def strayed(path: Path, imported: Mapping[str, int]) -> list[str]:
    """Say what foreign libraries a module imports that are another folder's."""
    place = path.relative_to(PACKAGE).as_posix()
    return [
        f"{place_of(path, line)} imports {name}; only {', '.join(allowed)} may"
        for name, line in imported.items()
        for library, allowed in CONFINED.items()
        if f"{name}.".startswith(f"{library}.") and not place.startswith(allowed)
    ]


def test_imports_point_down() -> None:
    assert [fault for path in MODULES for fault in climbing(path, imports_of(path))] == []


def test_an_import_from_above_or_beside_is_found() -> None:
    module = PACKAGE / "jobs" / "job.py"
    allowed = {"neurdicom.jobs.items": 1, "neurdicom.errors.Invalid": 2, "neurdicom.__version__": 3, "numpy": 4}
    wrong = {"neurdicom.web.jobs": 5, "neurdicom.archive.search": 6, "neurdicom.cellar.wine": 7}
    assert climbing(module, allowed) == []
    assert climbing(module, wrong) == [
        "neurdicom/jobs/job.py:5: jobs imports neurdicom.web.jobs, which lies above it",
        "neurdicom/jobs/job.py:6: jobs imports neurdicom.archive.search, which lies beside it",
        "neurdicom/jobs/job.py:7: jobs imports neurdicom.cellar.wine, which has no place in the ladder",
    ]
    assert climbing(PACKAGE / "cellar" / "wine.py", {}) == [
        "neurdicom/cellar/wine.py:1: cellar has no place in the ladder"
    ]
    assert climbing(PACKAGE / "testing" / "catalog.py", wrong) == []


def test_the_client_knows_nothing_but_errors() -> None:
    """Keep the client free of other parts: it becomes a package of its own."""
    parts = {
        part_of(name)
        for path in MODULES
        if path.is_relative_to(PACKAGE / "client")
        for name in imports_of(path)
        if name.startswith("neurdicom.")
    }
    assert parts <= {"client", "errors", "__version__"}


def test_only_commands_and_tools_use_the_client() -> None:
    users = {
        path.relative_to(PACKAGE).parts[:2]
        for path in MODULES
        if any(name.startswith("neurdicom.client") for name in imports_of(path))
    }
    assert {place for place in users if place[0] not in ("cli", "client") and place != ("plugins", "devtools")} == set()


def test_foreign_libraries_stay_in_their_place() -> None:
    assert [fault for path in MODULES for fault in strayed(path, imports_of(path))] == []


def test_a_library_out_of_its_place_is_found() -> None:
    imported = {"sqlite3": 3, "tornado.web.RequestHandler": 4, "sqlite3worker": 5}
    assert strayed(PACKAGE / "http" / "base.py", imported) == [
        "neurdicom/http/base.py:3 imports sqlite3; only catalog/sqlite may"
    ]
    assert strayed(PACKAGE / "catalog" / "sqlite" / "writer.py", {"sqlite3": 3}) == []


def test_the_composition_root_names_adapters() -> None:
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for name in imports_of(path)
        for adapter in ADAPTERS
        if f"{name}.".startswith(f"neurdicom.{adapter}.")
        and not path.relative_to(PACKAGE).as_posix().startswith(("app/", adapter.replace(".", "/")))
    }
    assert named == set(ALSO_NAMED)


def test_what_ships_for_tests_knows_ports() -> None:
    names = {name for path in MODULES if path.is_relative_to(PACKAGE / "testing") for name in imports_of(path)}
    ours = {name for name in names if name.startswith("neurdicom.")}
    assert {part_of(name) for name in ours} <= {"testing", "catalog", "blobs", "dicom", "errors"}
    assert {name for name in ours for adapter in ADAPTERS if name.startswith(f"neurdicom.{adapter}")} == set()


def faults_of_a_face(path: Path, tree: ast.Module) -> list[str]:
    """Say what an `__init__.py` lacks of its docstring, and what code it has of its own."""
    text, found = ast.get_docstring(tree) or "", []
    if len(text.splitlines()) < 3 or "import" not in text.lower():
        found.append(f"{place_of(path, 1)}: say what it owns, and what it may import")
    for node in tree.body[1:]:
        is_name = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__version__")
        if not is_name and not isinstance(node, ast.ImportFrom):
            found.append(f"{place_of(path, node.lineno)} is code")
    return found


def test_a_package_says_what_it_owns_and_imports() -> None:
    """Its `__init__.py` is its face, and has no code of its own."""
    faces = [path for path in MODULES if path.name == "__init__.py"]
    assert [fault for path in faces for fault in faults_of_a_face(path, tree_of(path))] == []


def test_a_face_with_a_fault_is_found() -> None:
    face = PACKAGE / "jobs" / "__init__.py"
    whole = '"""Jobs.\n\nIt may import documents.\n"""\n'
    assert faults_of_a_face(face, ast.parse(whole + "from a import b\n__all__ = ['b']")) == []
    assert faults_of_a_face(face, ast.parse(whole + "b = 1")) == ["neurdicom/jobs/__init__.py:5 is code"]
    assert faults_of_a_face(face, ast.parse('"""Jobs."""')) == [
        "neurdicom/jobs/__init__.py:1: say what it owns, and what it may import"
    ]


def test_no_module_is_long_without_a_reason() -> None:
    patterns = (
        "bridge/*.p[xy]*",
        "tests/**/*.py",
        "benchmarks/*.py",
        "distribution/*.py",
        "docs/**/*.py",
        "plugins/*/*.py",
    )
    sources = [*MODULES, *(path for pattern in patterns for path in CHECKOUT.glob(pattern))]
    lengths = {str(path.relative_to(CHECKOUT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources}
    assert {name: length for name, length in lengths.items() if length > 400 and name not in LONG} == {}
    assert {name for name in LONG if lengths.get(name, 0) <= 400} == set(), "no longer long: take it off the list"


def test_no_module_is_short_without_a_reason() -> None:
    """A module of a few lines costs its reader a hop; a package's face is none."""
    lengths = {
        str(path.relative_to(CHECKOUT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES
        if path.name != "__init__.py"
    }
    assert {name: length for name, length in lengths.items() if length < 35 and name not in SHORT} == {}
    assert {name for name in SHORT if lengths.get(name, 35) >= 35} == set(), "no longer short: take it off the list"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/decisions/layout.md"])
def test_the_ladder_that_is_shown_is_the_one_that_is_tested(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    (ladder,) = re.findall(r"^```\n(cli → .*?)```", text, re.MULTILINE | re.DOTALL)
    shown = [set(re.split(r"\s*[|,]\s*", rung.strip())) for rung in ladder.split("→")]
    assert shown == [set(rung) for rung in reversed(LADDER)]
