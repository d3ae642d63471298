"""The shipped plugins, built, and real slices to run them on."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut
from threadpoolctl import threadpool_limits

from neurdicom.plugins.manifest import Manifest, parse_manifest
from neurdicom.plugins.params import convert_arguments
from neurdicom.workers.loaders.native import NativePlugin, aligned
from neurdicom.workers.program import Program
from tests.support.checkout import CHECKOUT
from tests.workers.conftest import Pool, arguments_of

#: What our own flags leave out and a strict reader of the sources would not.
STRICT = "-O3 -Wall -Wextra -Werror -Wshadow -Wconversion -pedantic"

Image = npt.NDArray[np.float64]


@dataclass
class Shipped:
    """The plugins of a copy of `plugins/`, and two ways to run one: in a worker on a file, or at once on an array."""

    folder: Path
    pool: Pool

    @property
    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("*/META.json"))

    def manifest(self, name: str) -> Manifest:
        return parse_manifest((self.folder / name / "META.json").read_bytes())

    def program(self, name: str) -> Program:
        folder, manifest = self.folder / name, self.manifest(name)
        kind, target = ("python", folder) if (folder / "plugin.py").exists() else ("native", folder / f"{name}.so")
        declared: dict[str, Any] = {"name": name, "digest": name, "input": manifest.input, "result": manifest.result}
        return Program(kind, str(target), **declared)  # type: ignore[arg-type]

    def on_file(self, name: str, path: Path, **params: Any) -> tuple[Image, dict[str, Any]]:
        """Run a plugin in a worker, with its parameters converted as the server does."""
        given = convert_arguments(self.manifest(name).params, {}, params)
        reply = self.pool.process(self.program(name), arguments_of(path) | {"format": "npy"}, **given)
        return np.load(io.BytesIO(bytes(reply.body))), reply.meta["json"]

    def on_array(self, name: str, image: npt.ArrayLike, **params: Any) -> tuple[Image, dict[str, Any]]:
        """Run a native plugin in this process."""
        pixels = np.asarray(image, np.float64)
        buffer = aligned(pixels.shape, single=False)
        buffer[...] = pixels
        own = {name: params.pop(name) for name in ("_image",) if name in params}
        given = convert_arguments(self.manifest(name).params, {}, params) | own
        plugin = NativePlugin(self.folder / name / f"{name}.so")
        try:
            result = plugin.process(buffer, json.dumps(given).encode())
            assert result is not None
            made, text = np.array(result), plugin.result_json()
            del result
        finally:
            plugin.close()
        assert text is not None
        return made, json.loads(text)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The libraries' threads would spend their time waiting for one another on a machine that has other work."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    """All shipped plugins, built in a folder of their own; what `make plugins` has built already is taken along."""
    folder = tmp_path_factory.mktemp("shipped") / "plugins"
    shutil.copytree(CHECKOUT / "plugins", folder, ignore=shutil.ignore_patterns("build"))
    neurdicom = f"{sys.executable} -m neurdicom"
    variables = [f"INCLUDE={CHECKOUT / 'bridge/include'}", f"NEURDICOM={neurdicom}", f"CXXFLAGS={STRICT}"]
    subprocess.run(["make", "--silent", "-j2", "-C", str(folder), *variables], check=True)
    pool = Pool()
    yield Shipped(folder, pool)
    pool.close()


SLICES = {
    "CT_small": "CT_small.dcm",
    "MR_small": "MR_small.dcm",
    "CT": "series-ct-philips-tilt/I40",
    "EPI": "series-mr-ge-epi/axial_epi_fmri_interleaved_i_to_s-00030.dcm",
}


@dataclass
class Slice:
    """A real slice: its file, and its pixels in the modality's units."""

    path: Path
    pixels: Image


def read_slice(path: Path) -> Slice:
    ds = dcmread(path)
    return Slice(path, apply_modality_lut(ds.pixel_array, ds).astype(np.float64))


@pytest.fixture(params=SLICES)
def slice_(request: pytest.FixtureRequest) -> Slice:
    """Each of the real slices in turn: a CT, an MR, and larger ones of the developers' data set."""
    name = SLICES[request.param]
    if "/" in name:
        return read_slice(request.getfixturevalue("data_set") / name)
    return read_slice(Path(str(get_testdata_file(name))))


@pytest.fixture
def mr() -> Slice:
    """A small MR, for what takes long elsewhere."""
    return read_slice(Path(str(get_testdata_file("MR_small.dcm"))))
