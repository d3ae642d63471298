"""The shipped plugins, and real slices to run them on."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut

from neurdicom.plugins.manifest import Manifest, parse_manifest
from neurdicom.plugins.params import convert_arguments
from neurdicom.workers.loaders.native import NativePlugin, aligned
from neurdicom.workers.program import Program
from tests.support.pools import Pool, arguments_of

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


@dataclass
class Slice:
    """A real slice: its file, and its pixels in the modality's units."""

    path: Path
    pixels: Image


def read_slice(path: Path) -> Slice:
    ds = dcmread(path)
    return Slice(path, apply_modality_lut(ds.pixel_array, ds).astype(np.float64))
