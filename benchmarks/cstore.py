"""C-STORE: instances a second from DCMTK's storescu, against Orthanc and DCMTK's storescp on the same machine.

    python -m benchmarks.cstore [--instances 200] [--rounds 3]

Each association sends a series of its own, every instance 512x512 with 16 bits (0.5 MB), first one association and
then four at a time. NeurDICOM and Orthanc answer once the instance is durable (Orthanc with its default
`SyncStorageArea`). storescp runs as it does by default, which is one association after another, and with `--fork`; it
writes the files and leaves their flushing to the kernel.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.data import ct_series
from benchmarks.figures import record
from benchmarks.servers import free_port, neurdicom, orthanc, settle, storescp

ASSOCIATIONS = (1, 4)
#: NeurDICOM's goal as a multiple of each peer.
GOALS = {"Orthanc": 5.0, "storescp": 2.0, "storescp --fork": 2.0}


@contextmanager
def _neurdicom(folder: Path) -> Iterator[int]:
    port = free_port()
    with neurdicom(folder, "--dimse-port", str(port), "--dimse-accept", "any", "--log-level", "warning"):
        yield port


@contextmanager
def _orthanc(folder: Path) -> Iterator[int]:
    port = free_port()
    with orthanc(folder, DicomPort=port, DicomServerEnabled=True):
        yield port


def measure(port: int, series: list[Path]) -> float:
    """Send each series in an association of its own, all at once; instances a second."""
    # storescp serves one association after the other: the last of them waits for all others.
    command = ["storescu", "-ta", "600", "-aec", "ARCHIVE", "+sd", "127.0.0.1", str(port)]
    begin = time.perf_counter()
    senders = [subprocess.Popen([*command, str(folder)]) for folder in series]
    statuses = [sender.wait() for sender in senders]
    elapsed = time.perf_counter() - begin
    if any(statuses):
        raise RuntimeError(f"storescu ended with {statuses}")
    return sum(len(list(folder.iterdir())) for folder in series) / elapsed


def main() -> None:
    """Measure all in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=200, help="of each association")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the folder for temporary files")
    given = parser.parse_args()
    servers: dict[str, Callable[[Path], AbstractContextManager[int]]] = {
        "NeurDICOM": _neurdicom,
        "Orthanc": _orthanc,
        "storescp": lambda folder: storescp(folder, free_port()),
        "storescp --fork": lambda folder: storescp(folder, free_port(), "--fork"),
    }
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        root = Path(name)
        warm_up, series = root / "warm-up", [root / f"series-{number}" for number in range(max(ASSOCIATIONS))]
        for number, folder in enumerate((warm_up, *series)):
            folder.mkdir()
            for slice_number, file in enumerate(
                ct_series(5 if folder == warm_up else given.instances, series=number + 1)
            ):
                (folder / f"{slice_number}.dcm").write_bytes(file)
        for turn in range(given.rounds):
            for associations in ASSOCIATIONS:
                for label, server in servers.items():
                    settle()
                    with server(root / f"{label.replace(' ', '')}-{turn}-{associations}") as port:
                        measure(port, [warm_up] * associations)
                        rate = measure(port, series[:associations])
                    rates.setdefault((label, associations), []).append(rate)
                    print(f"{label:16} {associations} x {rate:8.0f} instances/s", flush=True)
    middle = {key: statistics.median(each) for key, each in rates.items()}
    for (label, associations), rate in middle.items():
        record(f"C-STORE: {label}, {associations} associations", rate, "instances/s")
    for associations in ASSOCIATIONS:
        ours = middle["NeurDICOM", associations]
        for label, goal in GOALS.items():
            ratio = ours / middle[label, associations]
            print(f"C-STORE, {associations} associations: {ratio:.2f} x {label} (goal {goal:g})")
    rise = middle["NeurDICOM", ASSOCIATIONS[-1]] / middle["NeurDICOM", 1]
    print(f"C-STORE, {ASSOCIATIONS[-1]} associations against one: {rise:.2f} x")


if __name__ == "__main__":
    main()
