"""Pages of the repository as the site has them: in one folder, with links that lead to pages or to the repository."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

#: Where files that are no pages of the site are read.
REPOSITORY = "https://github.com/neurdicom/neurdicom"

#: Files beside the pages that the site shows.
PICTURES = (".png", ".svg", ".css", ".js")

_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^()\s]+)(?P<after>\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)

#: A comment that names the file in the block below it, for the tests; the site shows the name as a title.
_FILE = re.compile(r"^<!-- file: (\S+) -->\n```(\w+)\n", re.MULTILINE)


class BuildError(Exception):
    """A fault of the documentation: what was found, and where.

    Parameters
    ----------
    problems : list of str
        A line for each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Stage:
    """The folder that the site is built from.

    Attributes
    ----------
    folder : Path
        Is emptied first.
    made : Mapping of str
        Text of the pages that the build makes, by their place in the site.
    problems : list of str
        Links to files that are not there.
    """

    folder: Path
    made: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def fill(self) -> None:
        """Copy every page and picture, and write what is made; links are rewritten. Raises `BuildError`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, text in self.made.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        for source, place in sources():
            target = self.folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".md":
                target.write_text(self._rewritten(source), encoding="utf-8")
            else:
                shutil.copyfile(source, target)
        if self.problems:
            raise BuildError(self.problems)

    def _rewritten(self, source: Path) -> str:
        text = _FILE.sub(r'\n```\2 title="\1"\n', source.read_text(encoding="utf-8"))
        parts, at = [], 0
        for fence in _FENCE.finditer(text):  # what looks like a link in code is none
            parts += [self._relinked(source, text[at : fence.start()]), fence[0]]
            at = fence.end()
        return "".join([*parts, self._relinked(source, text[at:])])

    def _relinked(self, source: Path, text: str) -> str:
        return _LINK.sub(lambda link: link["before"] + self._target(source, link["target"]) + link["after"], text)

    def _target(self, source: Path, target: str) -> str:
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return target
        file = Path(os.path.normpath(source.parent / path))
        if not file.exists() and staged_path(file) not in self.made:
            self.problems.append(f"{source.relative_to(ROOT)}: the link {target} leads to no file")
            return target
        page = staged_path(file / "index.md" if (file / "index.md").exists() else file)
        if page is None:
            kind = "tree" if file.is_dir() else "blob"
            return f"{REPOSITORY}/{kind}/main/{file.relative_to(ROOT).as_posix()}"
        relative = os.path.relpath(self.folder / page, (self.folder / (staged_path(source) or "")).parent)
        return f"{relative}#{anchor}" if anchor else relative


def sources() -> list[tuple[Path, str]]:
    """List the pages and pictures of the site with their places: of this folder, and the pages at the root."""
    files = sorted((*DOCS.rglob("*"), *ROOT.glob("*.md")))
    return [(file, place) for file in files if (place := staged_path(file)) is not None]


def staged_path(file: Path) -> str | None:
    """Give a file's place in the site; None for what is no part of it. The README is the first page."""
    if file.suffix not in (".md", *PICTURES):
        return None
    if file.parent == ROOT and file.suffix == ".md":
        return "index.md" if file.stem == "README" else f"{file.stem.lower().replace('_', '-')}.md"
    return file.relative_to(DOCS).as_posix() if DOCS in file.parents else None
