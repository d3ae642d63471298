"""Damage of stored files, and their check by the command line in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.checkout import CHECKOUT
from tests.support.server import Server


def stored_file(data: Path, sha256: str) -> Path:
    """The file of these bytes in a data folder, by its name."""
    (path,) = (data / "blobs" / "objects").glob(f"*/*-{sha256}-*")
    return path


def file_of(server: Server, instance: str) -> Path:
    """The stored file of an instance."""
    answer = server.client.get(f"/api/instances/{instance}")
    assert answer.status_code == 200, answer.text
    return stored_file(server.data, answer.json()["sha256"])


def rewrite(path: Path, content: bytes) -> None:
    """Write other bytes into a stored file, as a failing disk does: the file and its mode stay."""
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(0o400)


def flip(path: Path, count: int = 4) -> None:
    """Change the last bytes of a file."""
    content = path.read_bytes()
    rewrite(path, content[:-count] + bytes(byte ^ 0xFF for byte in content[-count:]))


def truncate(path: Path, count: int = 10) -> None:
    """Cut the last bytes off."""
    rewrite(path, path.read_bytes()[:-count])


def swap(one: Path, other: Path) -> None:
    """Exchange two files."""
    scratch = one.with_name("swap")
    one.rename(scratch)
    other.rename(one)
    scratch.rename(other)


def verify(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Run `neurdicom verify --json`; its exit status and its report."""
    command = [sys.executable, "-m", "neurdicom", "verify", "--json", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NEURDICOM_")}
    done = subprocess.run(command, cwd=CHECKOUT, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def problems(report: dict[str, Any]) -> dict[str, str]:
    """What a report found, by instance, or by file where no instance has it."""
    return {finding["instance"] or finding["file"]: finding["problem"] for finding in report["findings"]}
