"""The rules of the tests' layout: folders mirror the package's, and what several files use lies in tests/support."""

from tests.support.checkout import CHECKOUT
from tests.support.source import imports_of

TESTS = CHECKOUT / "tests"
PACKAGE = CHECKOUT / "neurdicom"

#: Folders that test no package of their name.
OTHERS = {"architecture", "bridge", "contract", "documentation", "end_to_end", "support"}

#: Folders within others that hold the tests of no sub-package or module of their name.
WITHIN = {
    "archive/resources": "patients, studies, series and instances over HTTP: several services of the archive",
    "plugins/models": "models over HTTP, and what their workers answer: plugins, workers and web",
    "plugins/shipped": "the plugins that ship, in plugins/",
}

#: Packages without a folder of their name, and where their tests lie.
ELSEWHERE = {
    "dicomweb/client": ("nodes/test_dicomweb.py",),
    "dimse/ipc": ("dimse/test_crashes.py",),
    "plugins/devtools/sanitizer": ("plugins/devtools/test_sanitize.py",),
    "testing": ("contract", "blobs"),
    "testing/crash": ("contract/test_crash_ledger.py", "end_to_end/test_crash_rounds.py"),
    "workers/model": ("plugins/models",),
    "workers/packages": ("plugins/test_archive.py",),
}

MODULES = sorted(TESTS.rglob("*.py"))


def test_only_support_is_imported() -> None:
    elsewhere = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in MODULES
        for name, line in imports_of(path).items()
        if name.startswith("tests.") and not name.startswith("tests.support.")
    ]
    assert elsewhere == [], "what several files use lies in tests/support"


def test_names_are_those_of_packages_and_modules() -> None:
    tests = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {f"test_{path.name}" for path in PACKAGE.glob("*.py")}
    assert tests - packages - modules - OTHERS == set(), "a test lies where what it tests lies, or in one of OTHERS"


def test_each_package_has_a_folder_with_tests() -> None:
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*/__init__.py")} - {"."}
    lacking = {package for package in packages if not any((TESTS / package).rglob("test_*.py"))}
    assert lacking == set(ELSEWHERE), "give a package a folder of its name, or say in ELSEWHERE where its tests lie"
    assert {place for places in ELSEWHERE.values() for place in places if not (TESTS / place).exists()} == set()


def test_folders_within_are_those_of_packages_or_modules() -> None:
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    within = {folder for folder in folders if "/" in folder and folder.split("/")[0] not in OTHERS}
    assert {each for each in within if not ((PACKAGE / each).is_dir() or (PACKAGE / f"{each}.py").exists())} == set(
        WITHIN
    )
