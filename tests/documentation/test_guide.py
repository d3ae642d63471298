"""The guide's commands work as printed, one after the other, and its files are what they say."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.scripts import run_script
from tests.support.server import free_port

GUIDE = CHECKOUT / "docs" / "guide.md"

#: A block of commands, or a file with the comment that names it.
BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n```\w+\n(?P<text>.*?)^```|```sh\n(?P<commands>.*?)^```)",
    re.MULTILINE | re.DOTALL,
)


def script_of(page: Path) -> str:
    """The page as one script: its commands, and its files as they come up."""
    parts = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["file"]:
            parts.append(f"cat > {block['file']} <<'END-OF-FILE'\n{block['text']}END-OF-FILE\n")
        else:
            parts.append(block["commands"])
    return "".join(parts)


@pytest.mark.skipif(
    None in map(shutil.which, ("curl", "make", "c++", "cmake")), reason="curl, make, a C++ compiler or cmake is missing"
)
@pytest.mark.timeout(300)
def test_the_guide_by_hand(tmp_path: Path) -> None:
    script = script_of(GUIDE).replace("8080", str(free_port()))
    status, output = run_script(script, tmp_path, seconds=280)
    work = tmp_path / "work"
    assert status == 0, f"{output}\n{(work / 'guide.log').read_text(encoding='utf-8')}"
    assert output.count("No problems found.") == output.count("Loading and unloading in a worker succeeded.") >= 8
    assert "ValueError: a grey image is expected" in output
    assert "org.example.smooth\tsmooth\t1.0.0\tnative\tready" in output
    assert '"entropy":' in output
    assert '"share":' in output
    assert (work / "smooth.png").read_bytes().startswith(b"\x89PNG")
    assert (work / "bright.dcm").read_bytes()[128:132] == b"DICM"


def test_the_text_of_errors_is_as_the_command_says_it() -> None:
    """Blocks of text can't be run; the words in them are looked for in the source."""
    text = GUIDE.read_text(encoding="utf-8")
    source = (CHECKOUT / "neurdicom" / "plugins" / "devtools" / "checking.py").read_text(encoding="utf-8")
    assert "with an image that ends where the process's memory" in text
    assert "with an image that ends where the process's memory ends" in source
