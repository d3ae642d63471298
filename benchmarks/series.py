"""A native plugin over a series: read, decode, convert, process; against a plain C loop, ctypes, and numpy in Orthanc.

    python -m benchmarks.series [--slices 400] [--rounds 5]

Every one takes mean, least and greatest value of each 512x512 16-bit slice; all but Orthanc call the same library. The
C loop opens each file, reads the pixels at an offset that it is told, and converts them to double in a loop of its
own. It runs once on one core, and once as a process on each; the goal is 90 % of it per core.
"""

import argparse
import ctypes
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import COLUMNS, ROWS, ct_series
from benchmarks.figures import record
from benchmarks.process_http import ORTHANC_PYTHON, pack, post
from benchmarks.servers import neurdicom, orthanc
from neurdicom.dicom.part10 import read_header
from neurdicom.workers.loaders.loaders import NativeProgram
from neurdicom.workers.loaders.native import aligned
from neurdicom.workers.program import Program

GOAL = 0.9
ROOT = Path(__file__).parents[1]
GUID = "org.neurdicom.benchmark.extent"

PLUGIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include "neurdicom_plugin.h"
struct Plugin { char text[128]; };
Plugin* InitPlugin(void) { return malloc(sizeof(Plugin)); }
double* Process(Plugin* plugin, double* img, int width, int height, const char* params) {
    const long count = (long)width * height;
    double sum = 0, low = img[0], high = img[0];
    for (long i = 0; i < count; ++i) {
        sum += img[i];
        low = img[i] < low ? img[i] : low;
        high = img[i] > high ? img[i] : high;
    }
    snprintf(plugin->text, sizeof plugin->text, "{\"mean\": %.17g, \"low\": %g, \"high\": %g}", sum / count, low, high);
    return img;
}
const char* ResultJson(Plugin* plugin) { return plugin->text; }
void DestroyPlugin(Plugin* plugin) { free(plugin); }
"""

LOOP = r"""
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
typedef struct Plugin Plugin;
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}
/* loop LIBRARY WIDTH HEIGHT ROUNDS (OFFSET FILE)...: seconds of the quickest round */
int main(int argc, char** argv) {
    void* library = dlopen(argv[1], RTLD_NOW);
    Plugin* (*init)(void) = dlsym(library, "InitPlugin");
    double* (*process)(Plugin*, double*, int, int, const char*) = dlsym(library, "Process");
    const char* (*json)(Plugin*) = dlsym(library, "ResultJson");
    const int width = atoi(argv[2]), height = atoi(argv[3]), rounds = atoi(argv[4]);
    const long count = (long)width * height;
    const ssize_t size = count * sizeof(int16_t);
    int16_t* stored = malloc(size);
    double* image = aligned_alloc(64, count * sizeof *image);
    Plugin* plugin = init();
    double best = 1e9;
    for (int round = 0; round < rounds; ++round) {
        const double begun = now();
        for (int i = 5; i + 1 < argc; i += 2) {
            const int file = open(argv[i + 1], O_RDONLY);
            if (pread(file, stored, size, atol(argv[i])) != size) return 1;
            close(file);
            for (long k = 0; k < count; ++k) image[k] = stored[k];
            if (process(plugin, image, width, height, "{}") == NULL || json(plugin) == NULL) return 1;
        }
        const double taken = now() - begun;
        best = taken < best ? taken : best;
    }
    printf("%.9f\n", best);
}
"""

#: The usual way to do it in Orthanc: each instance's frame as bytes from the core, and numpy.
SCRIPT = """
import json
import numpy
import orthanc

def extent(output, uri, **request):
    found = []
    for each in json.loads(orthanc.RestApiGet('/series/%s' % request['groups'][0]))['Instances']:
        frame = orthanc.RestApiGet('/instances/%s/frames/0/raw' % each)
        pixels = numpy.frombuffer(frame, numpy.int16).astype(numpy.float64)
        found.append({'mean': pixels.mean(), 'low': pixels.min(), 'high': pixels.max()})
    output.AnswerBuffer(json.dumps(found), 'application/json')

orthanc.RegisterRestCallback('/extent/(.+)', extent)
"""


class SeriesFolder:
    """The files, and the library, in a folder."""

    def __init__(self, folder: Path, slices: int) -> None:
        self.files = [folder / f"{number}.dcm" for number in range(slices)]
        for path, data in zip(self.files, ct_series(slices), strict=True):
            path.write_bytes(data)
        self.layouts = [read_header(path).layout.to_document() for path in self.files]
        self.places = [(layout["pixel_offset"], path) for layout, path in zip(self.layouts, self.files, strict=True)]
        self.library = compile_c(folder / "plugin.c", PLUGIN, "-shared", "-fPIC")
        self.loop = compile_c(folder / "loop.c", LOOP, "-ldl")


def compile_c(source: Path, text: str, *options: str) -> Path:
    """Compile a C program or library."""
    target = source.with_suffix(".so" if "-shared" in options else "")
    source.write_text(text)
    include = f"-I{ROOT / 'bridge' / 'include'}"
    subprocess.run(["cc", "-O3", include, "-o", target, source, *options], check=True)
    return target


def best(call: Callable[[], object], rounds: int) -> float:
    """Seconds of the quickest of some rounds."""
    quickest = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        quickest = min(quickest, time.perf_counter() - begun)
    return quickest


def c_loops(series: SeriesFolder, rounds: int, processes: int) -> float:
    """Slices a second of plain C loops, one on each core."""
    command = [series.loop, series.library, COLUMNS, ROWS, rounds, *chain.from_iterable(series.places)]
    loops = [subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    seconds = [float(loop.communicate()[0]) for loop in loops]
    return sum(len(series.files) / each for each in seconds)


def ctypes_loop(series: SeriesFolder, rounds: int) -> float:
    """Slices a second of numpy and ctypes in one process."""
    foreign = ctypes.CDLL(str(series.library))
    foreign.InitPlugin.restype = foreign.Process.restype = ctypes.c_void_p
    foreign.ResultJson.restype = ctypes.c_char_p
    state, pointer = (
        ctypes.c_void_p(foreign.InitPlugin()),
        np.ctypeslib.ndpointer(np.float64, 2, flags=["C", "W", "A"]),
    )
    foreign.Process.argtypes = [ctypes.c_void_p, pointer, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    image = aligned((ROWS, COLUMNS), single=False)

    def once() -> None:
        for offset, path in series.places:
            image[...] = np.fromfile(path, "<i2", ROWS * COLUMNS, offset=offset).reshape(ROWS, COLUMNS)
            foreign.Process(state, image, COLUMNS, ROWS, b"{}")
            json.loads(foreign.ResultJson(state))

    return len(series.files) / best(once, rounds)


def worker(series: SeriesFolder, rounds: int) -> float:
    """Slices a second of what a worker process does with each call."""
    plugin = NativeProgram(Program("native", str(series.library), result="JSON"))
    calls: list[dict[str, Any]] = [
        {"path": str(path), "layout": layout, "frame": 1, "edits": [], "params": {}, "format": "json"}
        for path, layout in zip(series.files, series.layouts, strict=True)
    ]

    def once() -> None:
        for call in calls:
            plugin.call("process", call)

    seconds = best(once, rounds)
    plugin.unload()
    return len(series.files) / seconds


@contextmanager
def served(series: SeriesFolder, folder: Path) -> Iterator[tuple[int, str]]:
    """Run a server of ours with the series and the plugin in it; gives its port and the series."""
    meta = {"plugin_guid": GUID, "name": "extent", "author": "NeurDICOM", "result": {"type": "JSON"}}
    with neurdicom(folder, "--log-level", "warning") as port:
        for path in series.files:
            found = post(port, "/api/instances", path.read_bytes(), "application/dicom")
        archive = pack({"META.json": json.dumps(meta).encode(), "extent.so": series.library.read_bytes()})
        post(port, "/api/plugins", archive, "application/zip")
        yield port, found["results"][0]["series"]  # type: ignore[index]


def job(port: int, uid: str, rounds: int) -> float:
    """Slices a second of a job over the whole series, from the request to its end."""
    slices = 0

    def once() -> None:
        path = f"/api/series/{uid}/process/by_plugin/{GUID}?cache=no"
        made = post(port, path, b"{}", "application/json")
        while made["ended"] is None:
            time.sleep(0.01)
            made = get(port, f"/api/jobs/{made['id']}")
        if made["state"] != "done" or made["failed"]:
            raise RuntimeError(f"the job ended so: {made}")
        nonlocal slices
        slices = int(str(made["total"]))

    seconds = best(once, rounds)
    return slices / seconds


def orthanc_loop(series: SeriesFolder, folder: Path, rounds: int) -> float:
    """Slices a second of numpy inside Orthanc, one request for the series."""
    script = folder / "orthanc_script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with orthanc(folder / "orthanc", Plugins=[ORTHANC_PYTHON], PythonScript=str(script)) as port:
        for path in series.files:
            found = post(port, "/instances", path.read_bytes(), "application/dicom")
        seconds = best(lambda: get(port, f"/extent/{found['ParentSeries']}"), rounds)
    return len(series.files) / seconds


def get(port: int, path: str) -> Any:
    """JSON of a URL."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return json.load(answer)


def main() -> None:
    """Measure all in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = SeriesFolder(folder, given.slices)
        one, many = c_loops(series, given.rounds, 1), c_loops(series, given.rounds, cores)
        rows = {
            "plain C loop, one core": (one, one),
            "ctypes and numpy, one core": (ctypes_loop(series, given.rounds), one),
            "a worker's calls, one core": (worker(series, given.rounds), one),
            f"plain C loops, {cores} cores": (many, many),
        }
        with served(series, folder / "neurdicom") as (port, uid):
            rows[f"a job, {cores} cores"] = (job(port, uid, given.rounds), many)
        rows["numpy in Orthanc, a request"] = (orthanc_loop(series, folder, max(1, given.rounds // 2)), one)
    for what, (rate, reference) in rows.items():
        record(f"series: {what}", rate, "slices/s")
        print(f"{what:30} {rate:8.0f} slices/s   {rate / reference:.2f} x C   (goal {GOAL:g})")


if __name__ == "__main__":
    main()
