"""Rendered PNG: pictures a second with a few keep-alive connections, against Orthanc on the same machine.

    python -m benchmarks.render [--connections 4] [--seconds 5]

Slices of a 512x512 16-bit CT series, each with its modality and VOI window applied (Orthanc's `/rendered`).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from benchmarks.data import ct_series
from benchmarks.figures import record
from benchmarks.process_http import post
from benchmarks.servers import neurdicom, orthanc
from benchmarks.wrk import requests_per_second
from neurdicom.dicom.part10 import read_header
from neurdicom.pixels import tasks
from neurdicom.pixels.encode.arrays import encode_picture
from neurdicom.pixels.grayscale.picture import render
from neurdicom.pixels.pipeline import aligned_doubles, load_stored, to_double

GOAL = 5.0
SLICES = 50


def check(url: str) -> None:
    """See before anything is timed that the answer is a PNG."""
    with urlopen(url) as answer:
        body = answer.read()
    if not body.startswith(b"\x89PNG"):
        raise RuntimeError(f"{url} answered {body[:200]!r}")


def steps(file: Path) -> None:
    """Print the milliseconds of each step of one picture, in this process."""
    layout = read_header(file).layout
    frame = load_stored(file, layout)
    picture, out = render(frame), aligned_doubles(frame.array.shape)
    arguments = {"path": str(file), "layout": layout.to_document(), "frame": 1, "format": "png"}
    measured = {
        "load": lambda: load_stored(file, layout),
        "to double": lambda: to_double(frame, out=out),
        "to double, modality": lambda: to_double(frame, "modality", out=out),
        "render": lambda: render(frame),
        "PNG": lambda: encode_picture(picture, "png"),
        "JPEG": lambda: encode_picture(picture, "jpeg"),
        "all of a PNG": lambda: tasks.image(arguments),
    }
    for name, step in measured.items():
        step()
        begin = time.perf_counter()
        for _ in range(50):
            step()
        spent = (time.perf_counter() - begin) / 50 * 1e3
        record(f"rendering: {name}", spent, "ms")
        print(f"{name:20} {spent:6.2f} ms")


def main() -> None:
    """Measure both servers in turn, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    files = list(ct_series(SLICES))
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.dcm"
        sample.write_bytes(files[0])
        steps(sample)
        with orthanc(Path(folder) / "orthanc") as port:
            ids = [post(port, "/instances", file, "application/dicom")["ID"] for file in files]
            urls = [f"http://127.0.0.1:{port}/instances/{each}/rendered" for each in ids]
            check(urls[0])
            rates["Orthanc"] = requests_per_second(urls, connections=given.connections, seconds=given.seconds)
        with neurdicom(Path(folder) / "neurdicom", "--log-level", "warning") as port:
            for file in files:
                post(port, "/api/instances", file, "application/dicom")
            with urlopen(f"http://127.0.0.1:{port}/api/instances?limit={SLICES}") as answer:
                ids = [each["id"] for each in json.load(answer)]
            urls = [f"http://127.0.0.1:{port}/api/instances/{each}/image" for each in ids]
            check(urls[0])
            rates["NeurDICOM"] = requests_per_second(urls, connections=given.connections, seconds=given.seconds)
    for name, rate in rates.items():
        record(f"rendering: {name}, PNG over HTTP", rate, "pictures/s")
        print(f"{name:10} {rate:8.0f} pictures/s")
    ratio = rates["NeurDICOM"] / rates["Orthanc"]
    print(f"rendered PNG, {given.connections} connections: {ratio:.2f} x Orthanc (goal {GOAL:g})")


if __name__ == "__main__":
    main()
