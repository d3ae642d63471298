"""The commands of the README, and of the tour that goes on from it, work as printed, in a checkout of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
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
    assert "make install\n" in script
    script = script.replace("make install\n", "").replace('export PATH="$PWD/.venv/bin:$PATH"\n', "")
    free = [free_port() for _ in PORTS]
    for port, other in zip(PORTS, free, strict=True):
        script = script.replace(port, str(other))
    script = script.replace("neurdicom serve", f"neurdicom serve --port {free[0]}")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script + "\nkill %1\nwait\n"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=170)
    finally:
        with suppress(ProcessLookupError):  # its server outlives a script that failed
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log = (tmp_path / "server.log").read_text(encoding="utf-8")
    assert process.returncode == 0, f"{output}\n{errors}\n{log}"
    assert '"status":"stored"' in output
    assert '"status":"duplicate"' in output
    assert "Hello, Radiology!" in output
    assert "(0010,0010) PN [" in output + errors
    assert '"00081030"' in output
    assert '"modalities":["MR","SEG"]' in output
    for picture in ("picture.png", "result.png", "tissues.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
