"""The commands of the README, and of the tour that goes on from it, work as printed, in a checkout of their own."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.scripts import run_script
from tests.support.server import free_port

PORTS = ("8080", "4242")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(
    None in map(shutil.which, ("curl", "storescu")), reason="curl and DCMTK's storescu are not both installed"
)
def test_commands_by_hand(tmp_path: Path) -> None:
    demo, test, *by_hand = blocks(CHECKOUT / "README.md")
    assert (demo, test) == ("make demo\n", "make test\n")
    for name in ("plugins", "native_examples", "bridge", "models"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("build", "*.so"))
    assert by_hand
    script = "".join([*by_hand, *blocks(CHECKOUT / "docs" / "tour.md")])
    assert by_hand[0].replace("\\\n", "").replace("|\n", "").count("\n") <= 10, "the first hour is ten commands"
    first = 'make install && export PATH="$PWD/.venv/bin:$PATH"\n'
    assert first in script
    script = script.replace(first, "")
    free = [free_port() for _ in PORTS]
    for port, other in zip(PORTS, free, strict=True):
        script = script.replace(port, str(other))
    script = script.replace("neurdicom serve", f"neurdicom serve --port {free[0]}")
    status, output = run_script(script, tmp_path, seconds=170)
    log = (tmp_path / "server.log").read_text(encoding="utf-8")
    assert status == 0, f"{output}\n{log}"
    assert '"status":"stored"' in output
    assert '"status":"duplicate"' in output
    assert "Hello, Radiology!" in output
    assert "(0010,0010) PN [" in output
    assert '"00081030"' in output
    assert '"modalities":["MR","SEG"]' in output
    for picture in ("picture.png", "result.png", "tissues.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
