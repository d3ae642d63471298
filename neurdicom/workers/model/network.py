"""A model in a worker process: from an image, or its values, to the result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurdicom.errors import NotAvailable
from neurdicom.workers.model import postprocessing
from neurdicom.workers.model.manifest import ModelManifest, parse_model_manifest
from neurdicom.workers.model.model_zip import network_file
from neurdicom.workers.model.preprocessing import Values, prepare
from neurdicom.workers.model.session import Session
from neurdicom.workers.model.signature import Signature, signature_of
from neurdicom.workers.model.values import values_of_file
from neurdicom.workers.packages.package_zip import META

Array = npt.NDArray[Any]


class Network:
    """Loaded model.

    Parameters
    ----------
    folder : Path
        Has META.json and the network, as they were uploaded.
    threads : int
        Most threads of one run.

    Raises
    ------
    Invalid
        META.json and the network do not fit each other.
    PluginFailed
        onnxruntime can't load the network.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self.manifest: ModelManifest = parse_model_manifest((folder / META).read_bytes())
        self.file = network_file(folder)
        self.session = Session(self.file, folder, threads=threads)
        self.signature: Signature = signature_of(self.manifest, self.session)

    def process(self, arguments: Mapping[str, Any]) -> Array | dict[str, Any]:
        """Run the model on one frame of a stored instance, for a call of `by_model`; return as `run`."""
        values = values_of_file(arguments, self.manifest.input)
        return self.run(values, arguments.get("params", {}).get("threshold"))

    def process_volume(self, volume: Array, params: Mapping[str, Any]) -> Array | dict[str, Any]:
        """Run the model on a volume of numbers, shape (depth, rows, columns), for `by_model`; return as `run`."""
        return self.run(Values(volume), params.get("threshold"))

    def run(self, values: Values, threshold: float | None = None) -> Array | dict[str, Any]:
        """Run the model on the values of one image or volume.

        Parameters
        ----------
        values : Values
            Pixel values.
        threshold : float, optional
            Replaces META.json's.

        Returns
        -------
        ndarray or dict
            A label map (uint8 or uint16), shape ([depth,] rows, columns); or an image (float32 or float64), shape
            ([depth,] rows, columns[, channels]); or the classification.

        Raises
        ------
        NotAvailable
            The image has no pixels, or other axes than the network takes.
        PluginFailed
            The network failed, or its output does not fit META.json.
        """
        signature, spec = self.signature, self.manifest.output
        size = signature.size
        if not values.array.size:
            raise NotAvailable("the image has no pixels")
        prepared = prepare(values, self.manifest.input, signature.channels, size, signature.dtype)
        output = self.session.run(signature.input, prepared.array, signature.output)
        if spec.kind == "classification":
            return postprocessing.classes(output, spec, threshold)
        if spec.kind == "segmentation":
            return postprocessing.label_map(output, spec, prepared.axes, threshold)
        return np.ascontiguousarray(postprocessing.image(output, spec, prepared.axes))
