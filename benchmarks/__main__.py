"""`make bench`: all benchmarks, or those that are named, one after the other; those whose peer is not installed say so.

What they measure is written into a file of its own in benchmarks/results, which `make bench-compare A B` reads.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import GATHERING, gathered, write

#: Module to the programs that it needs beside ours.
BENCHMARKS = {
    "bridge": (),
    "catalog": (),
    "upload": ("Orthanc",),
    "cstore": ("Orthanc", "storescu", "storescp"),
    "render": ("Orthanc", "wrk"),
    "process_http": ("Orthanc", "wrk"),
    "series": ("Orthanc",),
    "qidors": ("Orthanc", "wrk"),
    "wado": ("Orthanc", "wrk"),
    "shipped_plugins": (),
}


def main() -> int:
    """Run them and write what they measured; answers how many failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(BENCHMARKS)}; all without a name")
    chosen = parser.parse_args().names or [*BENCHMARKS]
    if unknown := sorted({*chosen} - BENCHMARKS.keys()):
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures"
        for name in chosen:
            print(f"\n== {name}", flush=True)
            missing = [program for program in BENCHMARKS[name] if shutil.which(program) is None]
            if missing:
                print(f"left out: {', '.join(missing)} not installed (Debian: orthanc, orthanc-python, dcmtk, wrk)")
                continue
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            failed += subprocess.run(command, check=False, env=os.environ | {GATHERING: str(figures)}).returncode != 0
        if found := gathered(figures):
            print(f"\n{len(found)} figures: {write(found)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
