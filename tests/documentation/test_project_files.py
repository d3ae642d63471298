"""The files that tools and forges read: the version, hooks, the workflow, forms."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

import neurdicom
from tests.support.checkout import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name: str) -> Any:
    """Read a file in YAML."""
    return yaml.safe_load((CHECKOUT / name).read_text(encoding="utf-8"))


def test_the_version_has_one_source() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "neurdicom.__version__"}
    assert version("neurdicom") == neurdicom.__version__, "install again: the version has changed since"
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+|\.dev\d+)?", neurdicom.__version__)
    elsewhere = [
        str(path.relative_to(CHECKOUT))
        for path in [*CHECKOUT.glob("neurdicom/**/*.py"), CHECKOUT / "setup.py", CHECKOUT / "Dockerfile"]
        if path != CHECKOUT / "neurdicom" / "__init__.py" and "templates" not in path.parts
        if re.search(rf"(?<![\d.]){re.escape(neurdicom.__version__)}(?![\d.])", path.read_text(encoding="utf-8"))
    ]
    assert elsewhere == []


def test_hooks_call_the_projects_own_tools() -> None:
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system", hook
        assert re.match(r"\.venv/bin/(ruff|mypy|python) ?", hook["entry"]), hook


def test_pre_commit_takes_them() -> None:
    pytest.importorskip("pre_commit")
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(CHECKOUT / ".pre-commit-config.yaml")]
    subprocess.run(command, check=True, cwd=CHECKOUT)


def test_a_forge_runs_what_decides() -> None:
    steps = read(".github/workflows/ci.yml")["jobs"]["run"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-1] == ".ci/run"


@pytest.mark.parametrize("form", ["bug.yml", "feature.yml"])
def test_forms_have_what_a_forge_asks_for(form: str) -> None:
    read_form = read(f".github/ISSUE_TEMPLATE/{form}")
    assert read_form.keys() >= {"name", "description", "body"}
    ids = [field.get("id") for field in read_form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) and None not in ids
    assert all(field["attributes"]["label"] for field in read_form["body"] if field["type"] != "markdown")


def test_owners_of_folders_that_are_there() -> None:
    lines = (CHECKOUT / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    paths = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert paths[0] == "*"
    assert [path for path in paths[1:] if not (CHECKOUT / path.lstrip("/")).exists()] == []


@pytest.mark.parametrize(
    "page", ["SECURITY.md", "CODE_OF_CONDUCT.md", "RELEASING.md", ".github/pull_request_template.md"]
)
def test_links_of_pages_lead_to_files(page: str) -> None:
    path = CHECKOUT / page
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not Path(path.parent / link).exists()] == []


def test_files_of_news_are_named_by_kind() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    names = {path.name for path in (CHECKOUT / "news").iterdir()} - {"README.md"}
    assert {name for name in names if not re.fullmatch(rf"(\+[a-z0-9-]+|\d+)\.({'|'.join(kinds)})\.md", name)} == set()


def test_news_become_a_section_of_the_changelog(tmp_path: Path) -> None:
    pytest.importorskip("towncrier")
    for name in ("pyproject.toml", "CHANGELOG.md"):
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "+token.fixed.md").write_text("A token is a token.\n", encoding="utf-8")
    before = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.8.7", "--dir", str(tmp_path)]
    subprocess.run([*command, "--date", "2030-01-02"], check=True, cwd=tmp_path, capture_output=True)
    head, _, rest = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8").partition("## 9.8.7 (2030-01-02)\n")
    assert rest.split() == ["###", "Fixed", "-", "A", "token", "is", "a", "token.", *before.removeprefix(head).split()]
    assert not (tmp_path / "news" / "+token.fixed.md").exists()
