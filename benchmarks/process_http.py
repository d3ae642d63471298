"""A plugin over HTTP: results a second of a native plugin here, against the same with numpy inside Orthanc.

    python -m benchmarks.process_http [--connections 4] [--seconds 5]

Both invert 512x512 16-bit slices of a CT series and answer 8-bit samples, or a PNG; ours computes each anew, and once
more answers what it has kept.
"""

import argparse
import http.client
import io
import json
import subprocess
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.data import ct_series
from benchmarks.figures import record
from benchmarks.servers import neurdicom, orthanc
from benchmarks.wrk import requests_per_second

GOAL = 2.0
SLICES = 50
EXAMPLE = Path(__file__).parents[1] / "native_examples" / "invert"
ORTHANC_PYTHON = "/usr/share/orthanc/plugins/libOrthancPython.so"

#: The usual way to do it in Orthanc: the frame as bytes from the core, numpy, and the answer.
SCRIPT = """
import numpy
import orthanc

def invert(output, uri, **request):
    frame = orthanc.RestApiGet('/instances/%s/frames/0/raw' % request['groups'][0])
    pixels = numpy.frombuffer(frame, numpy.int16).reshape(512, 512).astype(numpy.float64)
    result = pixels.max() + pixels.min() - pixels
    low, high = result.min(), result.max()
    grey = ((result - low) * (255 / (high - low)) + 0.5).astype(numpy.uint8)
    if request['groups'][1] == 'png':
        output.CompressAndAnswerPngImage(orthanc.PixelFormat.GRAYSCALE8, 512, 512, 512, grey.tobytes())
    else:
        output.AnswerBuffer(grey.tobytes(), 'application/octet-stream')

orthanc.RegisterRestCallback('/invert/([^/]+)/(png|raw)', invert)
"""


def post(port: int, path: str, body: bytes, kind: str) -> dict[str, object]:
    """Post one body, and answer the JSON that comes back."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def archive() -> bytes:
    """Build and pack the native example."""
    subprocess.run(["make", "--silent", "-C", str(EXAMPLE.parent), EXAMPLE.name], check=True)
    return pack({name: (EXAMPLE / name).read_bytes() for name in ("META.json", "invert.so")})


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack files by name into a ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def check(url: str, size: int | None) -> None:
    """See before anything is timed that the answer is right."""
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    if (size is not None and len(body) != size) or (size is None and not body.startswith(b"\x89PNG")):
        raise http.client.HTTPException(f"{url} answered {body[:200]!r}")


def main() -> None:
    """Measure both servers in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    files = list(ct_series(SLICES))
    rates: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "invert.py"
        script.write_text(SCRIPT, encoding="utf-8")
        with orthanc(Path(folder) / "orthanc", Plugins=[ORTHANC_PYTHON], PythonScript=str(script)) as port:
            ids = [post(port, "/instances", file, "application/dicom")["ID"] for file in files]
            for kind in ("raw", "png"):
                urls = [f"http://127.0.0.1:{port}/invert/{each}/{kind}" for each in ids]
                check(urls[0], 512 * 512 if kind == "raw" else None)
                rates["Orthanc", kind] = requests_per_second(urls, connections=given.connections, seconds=given.seconds)
        with neurdicom(Path(folder) / "neurdicom", "--log-level", "warning") as port:
            for file in files:
                post(port, "/api/instances", file, "application/dicom")
            plugin = post(port, "/api/plugins", archive(), "application/zip")["id"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/instances?limit={SLICES}") as answer:
                ids = [each["id"] for each in json.load(answer)]
            for kind, query in (("raw", "format=lum8&cache=no"), ("png", "cache=no"), ("kept", "format=lum8")):
                urls = [
                    f"http://127.0.0.1:{port}/api/instances/{each}/process/by_plugin/{plugin}?{query}" for each in ids
                ]
                check(urls[0], None if kind == "png" else 512 * 512)
                rates["NeurDICOM", kind] = requests_per_second(
                    urls, connections=given.connections, seconds=given.seconds
                )
    for (server, kind), rate in rates.items():
        record(f"plugin over HTTP: {server}, {kind}", rate, "results/s")
        print(f"{server:10} {kind:4} {rate:8.0f} results/s")
    for kind, goal in (("raw", f" (goal {GOAL:g})"), ("png", "")):
        print(f"plugin, {kind}: {rates['NeurDICOM', kind] / rates['Orthanc', kind]:.2f} x Orthanc{goal}")


if __name__ == "__main__":
    main()
