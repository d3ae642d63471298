"""`make bench`: all benchmarks, one after the other; those whose peer is not installed say so."""

import shutil
import subprocess
import sys

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
    """Run them; answers how many failed."""
    failed = 0
    for name, programs in BENCHMARKS.items():
        print(f"\n== {name}", flush=True)
        missing = [program for program in programs if shutil.which(program) is None]
        if missing:
            print(f"left out: {', '.join(missing)} not installed (Debian: orthanc, orthanc-python, dcmtk, wrk)")
            continue
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
