"""The code of docs/tutorial.md: new files, and changes of files that are there."""

import re
from pathlib import Path

from tests.support.checkout import CHECKOUT

PAGE = CHECKOUT / "docs" / "tutorial.md"

_BLOCK = re.compile(
    r"^(?P<kind>New file|In) `(?P<path>\S+)`:\n\n```(?:python|diff)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)


def apply(folder: Path) -> list[str]:
    """Write the tutorial's files, and make its changes, in a copy of the checkout; answers the paths."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = [*_BLOCK.finditer(page)]
    assert len(blocks) == page.count("```python\n") + page.count("```diff\n"), "a block of code names no file"
    for block in blocks:
        path = folder / block["path"]
        if block["kind"] == "New file":
            made = not path.exists() or path.read_text(encoding="utf-8") == block["text"]
            assert made, f"docs/tutorial.md makes {block['path']}, which is there with another content"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"], encoding="utf-8")
        else:
            path.write_text(_changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")
    return sorted({block["path"] for block in blocks})


def _changed(text: str, block: re.Match[str]) -> str:
    """Apply a block of a diff, unless somebody who follows the tutorial did; what it shows has to occur once."""
    lines = block["text"].splitlines(keepends=True)
    before = "".join(line[1:] or "\n" for line in lines if line[0] in " -\n")
    after = "".join(line[1:] or "\n" for line in lines if line[0] in " +\n")
    if after in text:
        return text
    found = text.count(before)
    assert found == 1, f"docs/tutorial.md changes lines of {block['path']} that occur {found} times there:\n{before}"
    return text.replace(before, after)
