"""Retrieval as a viewer does it: metadata, frames and thumbnails, against Orthanc and its DICOMweb plugin.

    python -m benchmarks.wado [--slices 600] [--seconds 4] [--connections 4]

Both servers hold the same series of 512x512 16-bit CT slices. The metadata of the whole series is timed alone, as one
viewer waits for it, and gzipped where that is taken; frames and thumbnails are asked for in turn by wrk.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data import ct_series
from benchmarks.figures import record
from benchmarks.process_http import post
from benchmarks.servers import neurdicom, orthanc
from benchmarks.wrk import requests_per_second

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_METADATA_GOAL = 50.0
_ROUNDS = 7
_SETTINGS = {"Plugins": [str(_PLUGIN)], "DicomWeb": {"Enable": True}, "SyncStorageArea": False}


def metadata_milliseconds(port: int, path: str, encoding: str, slices: int) -> float:
    """Median time of an answer with the metadata of a series."""
    times = []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        connection.request("GET", path, headers={"Accept": "application/dicom+json", "Accept-Encoding": encoding})
        answer = connection.getresponse()
        body = answer.read()
        times.append(1e3 * (time.perf_counter() - begin))
        if encoding == "identity" and len(json.loads(body)) != slices:
            raise RuntimeError(f"{path} answered {body[:200]!r}")
    connection.close()
    return statistics.median(times)


def measure(port: int, given: argparse.Namespace) -> dict[str, float]:
    """All figures of one server, whose DICOMweb base is the same for both."""
    root = "1.2.826.0.1.3680043.10.1595.2.1"
    series = f"/dicom-web/studies/{root}/series/{root}.1"
    numbers = range(1, given.slices + 1)
    instances = [f"http://127.0.0.1:{port}{series}/instances/{root}.1.{number}" for number in numbers]
    figures = {
        f"metadata, {encoding}, ms": metadata_milliseconds(port, f"{series}/metadata", encoding, given.slices)
        for encoding in ("identity", "gzip")
    }
    for name, tail in (("frames/s", "/frames/1"), ("rendered/s", "/rendered"), ("thumbnails/s", "/thumbnail")):
        urls = [each + tail for each in instances]
        try:
            rate = requests_per_second(urls, connections=given.connections, seconds=given.seconds)
        except RuntimeError as error:
            print(f"left out: {name}: {str(error).splitlines()[0]}")
            continue
        figures[name] = rate
    return figures


def main() -> None:
    """Measure both servers in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--only", choices=("neurdicom", "orthanc"), help="leave the other out, to profile one")
    given = parser.parse_args()
    if given.only != "neurdicom" and not _PLUGIN.exists():
        sys.exit(f"{_PLUGIN} is missing (Debian: apt-get install orthanc-dicomweb)")
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, server, path in (
            ("Orthanc", lambda data: orthanc(data, **_SETTINGS), "/instances"),
            ("NeurDICOM", lambda data: neurdicom(data, "--log-level", "warning"), "/api/instances"),
        ):
            if given.only not in (None, name.lower()):
                continue
            with server(Path(folder) / name.lower()) as port:
                for file in ct_series(given.slices):
                    post(port, path, file, "application/dicom")
                for label, value in measure(port, given).items():
                    figures.setdefault(label, {})[name] = value
                    record(f"WADO-RS: {name}, {label}", value, "ms" if label.endswith("ms") else "answers/s")
                    print(f"{name:10} {value:9.1f}  {label}", flush=True)
    for label, each in figures.items():
        if len(each) == 2:
            ours, theirs = each["NeurDICOM"], each["Orthanc"]
            ratio = theirs / ours if label.endswith("ms") else ours / theirs
            goal = f" (goal {_METADATA_GOAL:g} ms)" if label.endswith("ms") else ""
            print(f"{label}: {ours:.1f}, {ratio:.1f} x Orthanc{goal}")


if __name__ == "__main__":
    main()
