"""The shipped native plugins beside the libraries that a researcher would call, on the same slices in one run.

    python -m benchmarks.shipped_plugins [FILE.dcm ...]

Without files: pydicom's MR (64 x 64) and CT (128 x 128) test slices, and that CT enlarged to 512 x 512.
Both sides run in this process, on one thread, from an array in memory to the labels or the image in memory: the plugin
by the bridge, the library by its Python interface. The best of several runs counts.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import skimage
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut
from threadpoolctl import threadpool_limits

from benchmarks.figures import record
from neurdicom.workers.loaders.native import NativePlugin, aligned

PLUGINS = Path(__file__).parents[1] / "plugins"

#: A library that takes longer is given up for larger images: it has made its point.
ENOUGH = 5.0


def fuzzy_c_means(pixels: np.ndarray, clusters: int = 3) -> np.ndarray:
    """Bezdek's updates over all pixels in numpy, as packages for Python do it."""
    values = pixels.ravel()
    centres = np.quantile(values, (np.arange(clusters) + 0.5) / clusters) + np.arange(clusters)
    for _ in range(300):
        weights = 1.0 / ((values - centres[:, None]) ** 2 + 1e-12)
        memberships = (weights / weights.sum(axis=0)) ** 2
        before, centres = centres, (memberships @ values) / memberships.sum(axis=1)
        if np.abs(centres - before).max() <= 1e-6 * np.ptp(values):
            break
    return memberships.argmax(axis=0)


def cases(pixels: np.ndarray) -> dict[str, tuple[str, dict[str, Any], Callable[[], object]]]:
    """List what is timed, by name: the plugin, its parameters, and the library's call for the same."""
    # Here, not above: its import takes seconds, also of who only looks whether this module can be imported.
    from sklearn.cluster import KMeans, MeanShift
    from sklearn.mixture import GaussianMixture

    column = pixels.reshape(-1, 1)
    seed = tuple(size // 2 for size in pixels.shape)
    spread = float(pixels.std())
    smoothing = {"h": spread / 30, "sigma": spread / 30}
    return {
        "k-means, 4 clusters": (
            "k_means",
            {"clusters": 4},
            lambda: KMeans(4, n_init=1, random_state=0).fit(column),
        ),
        "fuzzy c-means, 3 clusters": ("fuzzy_c_means", {"clusters": 3}, lambda: fuzzy_c_means(pixels)),
        "Gaussian mixture, 3 components": (
            "gaussian_mixture",
            {"components": 3},
            lambda: GaussianMixture(3, tol=1e-6, max_iter=1000, random_state=0).fit(column).predict(column),
        ),
        "region growing, narrow": (
            "region_growing",
            {"seed": seed, "tolerance": spread / 20},
            lambda: skimage.segmentation.flood(pixels, seed, tolerance=spread / 20, connectivity=1),
        ),
        "region growing, wide": (
            "region_growing",
            {"seed": seed, "tolerance": 2 * spread},
            lambda: skimage.segmentation.flood(pixels, seed, tolerance=2 * spread, connectivity=1),
        ),
        "non-local means, 5 x 5 in 13 x 13": (
            "non_local_means",
            smoothing,
            lambda: skimage.restoration.denoise_nl_means(pixels, 5, 6, **smoothing, preserve_range=True),
        ),
        "Otsu": ("otsu", {}, lambda: pixels > skimage.filters.threshold_otsu(pixels.astype(int))),
        "Otsu, 4 classes": ("otsu", {"classes": 4}, lambda: skimage.filters.threshold_multiotsu(pixels, 4)),
        "mean shift": (
            "mean_shift",
            {"bandwidth": spread / 2},
            lambda: MeanShift(bandwidth=spread / 2, bin_seeding=True).fit(column),
        ),
    }


def best(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Seconds of one call: the quickest of those that fit into the time, and of one at least."""
    quickest, until = float("inf"), time.perf_counter() + seconds
    for _ in range(50):
        begun = time.perf_counter()
        call()
        quickest = min(quickest, time.perf_counter() - begun)
        if time.perf_counter() > until:
            break
    return quickest


def plugin_seconds(name: str, params: dict[str, Any], pixels: np.ndarray) -> float:
    """Seconds of one call of a plugin; filling the buffer, which it overwrites, does not count."""
    plugin = NativePlugin(PLUGINS / name / f"{name}.so")
    text = json.dumps(params).encode()
    quickest, buffer = float("inf"), aligned(pixels.shape, single=False)
    for _ in range(20):
        buffer[...] = pixels
        begun = time.perf_counter()
        result = plugin.process(buffer, text)
        quickest = min(quickest, time.perf_counter() - begun)
        del result
    plugin.close()
    return quickest


def slices(files: list[str]) -> dict[str, np.ndarray]:
    """Pixels in the modality's units, by a name to print."""
    found = {}
    for path in files or [str(get_testdata_file(name)) for name in ("MR_small.dcm", "CT_small.dcm")]:
        ds = dcmread(path)
        found[Path(path).name] = apply_modality_lut(ds.pixel_array, ds).astype(np.float64)
    if not files:
        found["CT_small.dcm enlarged"] = np.rint(scipy.ndimage.zoom(found["CT_small.dcm"], 4, order=1))
    return found


def main(files: list[str]) -> None:
    """Time everything, and print the ratios."""
    subprocess.run(["make", "--silent", "-C", str(PLUGINS), "libraries"], check=True)
    slow: set[str] = set()
    for title, pixels in slices(files).items():
        rows, columns = pixels.shape
        print(f"\n{title}: {rows} x {columns}, {len(np.unique(pixels))} distinct values")
        for case, (name, params, library) in cases(pixels).items():
            own = plugin_seconds(name, params, pixels)
            record(f"shipped plugins: {title}, {case}", own * 1e3, "ms")
            if case in slow:
                print(f"  {case:36} {own * 1e3:9.2f} ms   library left out: it took too long on a smaller slice")
                continue
            other = best(library)
            if other > ENOUGH:
                slow.add(case)
            print(f"  {case:36} {own * 1e3:9.2f} ms   library {other * 1e3:9.2f} ms   {other / own:8.1f} times")


if __name__ == "__main__":
    with threadpool_limits(1):
        main(sys.argv[1:])
