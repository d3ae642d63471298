"""Required files of a release; `make dist` builds them, and starts what it built."""

import tomllib
from pathlib import Path

import pytest

from distribution import check
from tests.support.checkout import CHECKOUT

METADATA = """Metadata-Version: 2.4
Name: neurdicom
Version: 1.2.3
Summary: A PACS
License-Expression: MIT
Requires-Python: >=3.11
Description-Content-Type: text/markdown

# NeurDICOM
"""

WHEEL = [
    "neurdicom/py.typed",
    "neurdicom/_bridge.cpython-311-x86_64-linux-gnu.so",
    "neurdicom/_pixels.cpython-311-x86_64-linux-gnu.so",
    "neurdicom/plugins/devtools/include/neurdicom_plugin.h",
    "neurdicom/plugins/devtools/include/neurdicom_plugin.hpp",
    "neurdicom/plugins/devtools/cmake/NeurDICOMConfig.cmake",
    "neurdicom/plugins/devtools/templates/python/instance/plugin.py",
    "neurdicom-1.2.3.dist-info/licenses/LICENSE",
    "neurdicom-1.2.3.dist-info/entry_points.txt",
]


def test_a_good_wheel_has_no_fault() -> None:
    assert check.faults_of_wheel(WHEEL, METADATA, "1.2.3") == []


@pytest.mark.parametrize("missing", WHEEL)
def test_each_part_of_a_wheel_is_missed(missing: str) -> None:
    assert len(check.faults_of_wheel([name for name in WHEEL if name != missing], METADATA, "1.2.3")) == 1


def test_what_is_wrong_in_a_wheel_is_named() -> None:
    assert check.faults_of_wheel(WHEEL, METADATA, "1.2.4") == [
        "its version is 1.2.3, and neurdicom/__init__.py has 1.2.4"
    ]
    assert check.faults_of_wheel([*WHEEL, "tests/conftest.py"], METADATA, "1.2.3") == [
        "tests/conftest.py is no part of a wheel"
    ]
    bare = METADATA.replace("License-Expression: MIT\n", "").replace("text/markdown", "text/plain")
    assert check.faults_of_wheel(WHEEL, bare, "1.2.3") == [
        "its metadata has no License-Expression",
        "its metadata has no description in Markdown",
    ]


def test_what_an_sdist_lacks_is_named() -> None:
    whole = [f"neurdicom-1.2.3/{name}" for name in check.IN_SDIST]
    assert check.faults_of_sdist(whole) == []
    assert check.faults_of_sdist(whole[1:]) == ["pyproject.toml is missing"]
    assert check.faults_of_sdist([*whole, "neurdicom-1.2.3/tests/x.py"]) == ["tests/x.py is no part of an sdist"]


def test_the_checkout_has_what_goes_into_an_sdist() -> None:
    """Sources that setup.py names, or that are there for a build, are on the list and in MANIFEST.in's folders."""
    assert [name for name in check.IN_SDIST if not (CHECKOUT / name).exists()] == []
    sources = {
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "bridge").rglob("*")
        if path.suffix in (".pyx", ".pxd", ".pxi", ".hpp")
    }
    assert {name for name in sources if "include/" not in name} <= set(check.IN_SDIST)
    assert "graft bridge" in (CHECKOUT / "MANIFEST.in").read_text(encoding="utf-8")


def test_package_data_matches_files() -> None:
    """A pattern of pyproject.toml that matches nothing is one that a move of files has left behind."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["neurdicom"]
    package = CHECKOUT / "neurdicom"
    own = [pattern for pattern in patterns if not pattern.startswith("**/")]
    assert [each for each in own if not any(path.is_file() for path in package.glob(each))] == []


def test_the_version_is_read_without_an_import(tmp_path: Path) -> None:
    (tmp_path / "neurdicom").mkdir()
    (tmp_path / "neurdicom" / "__init__.py").write_text('"""A package."""\n\n__version__ = "4.5.6"\n')
    assert check.version_of(tmp_path) == "4.5.6"
