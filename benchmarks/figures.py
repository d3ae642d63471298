"""Figures of benchmarks, kept: one JSON line for each `make bench`, with the machine and the commit that it was of.

A line has `time`, `commit`, `changed` (the checkout differed from the commit), `machine` and `figures`, each of them
with `value` and `unit`. Of units that end in `/s` more is better, of others less.
"""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: Names the file that the figures of one run are gathered in.
GATHERING = "NEURDICOM_BENCH_FIGURES"

RESULTS = Path(__file__).parent / "results"


def record(name: str, value: float, unit: str) -> None:
    """Keep a figure, if this run keeps them; a name that was recorded before gets the new value.

    Parameters
    ----------
    name : str
        What was measured, as it shall be compared: the benchmark, the server, the case.
    value : float
    unit : str
        `ms`, `µs`, `instances/s`, ...
    """
    if path := os.environ.get(GATHERING):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "value": value, "unit": unit}, ensure_ascii=False) + "\n")


def gathered(path: Path) -> dict[str, dict[str, Any]]:
    """Read the figures of a run by name."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {figure.pop("name"): figure for figure in map(json.loads, lines)}


def machine() -> dict[str, Any]:
    """Describe the machine, without what names it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def write(figures: dict[str, dict[str, Any]], folder: Path = RESULTS) -> Path:
    """Write a run's figures with machine and commit into a file of their own, as one line of JSON."""
    now = datetime.now(UTC).replace(microsecond=0)
    commit = _git("rev-parse", "HEAD")
    changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    line = {"time": now.isoformat(), "commit": commit, "changed": changed, "machine": machine(), "figures": figures}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{commit[:12] or 'no-commit'}.json"
    path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
