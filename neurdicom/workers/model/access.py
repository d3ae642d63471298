"""The models that a plugin uses, by the names that its META.json gives them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from neurdicom.errors import NotAvailable, PluginFailed
from neurdicom.workers.model.network import Network
from neurdicom.workers.model.preprocessing import Values
from neurdicom.workers.model.values import values_of_dataset

Image = Dataset | Sequence[Dataset] | npt.ArrayLike


class Model:
    """Model that a plugin can run.

    Attributes
    ----------
    name : str
        Name of the model.
    labels : list of str
        Labels of its classes.
    meta : Mapping[str, Any]
        Its META.json.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.name = network.manifest.name
        self.labels = network.manifest.output.names
        self.meta = network.manifest.meta

    def run(self, image: Image, *, threshold: float | None = None, frame: int = 1) -> npt.NDArray[Any] | dict[str, Any]:
        """Run the model, with the same preparation and evaluation as `by_model`.

        Parameters
        ----------
        image : Dataset, list of Dataset, or array
            A dataset; the datasets of a series, in slice order, where the model takes volumes; or pixel values after
            the modality LUT (stored values where META.json asks for them), shape ([depth,] rows, columns), or with
            three samples of colour at the end.
        threshold : float, optional
            Replaces META.json's.
        frame : int
            Frame number, from 1, of a dataset with several.

        Returns
        -------
        ndarray or dict
            The label map (uint8 or uint16), shape ([depth,] rows, columns), in the size of `image`; or the image
            (float32 or float64), shape ([depth,] rows, columns[, channels]), in that size with `resize` in META.json;
            or the classification, as `by_model` gives it.

        Raises
        ------
        NotAvailable
            A dataset has no pixels or no such frame, its slices differ in shape, or the image does not fit the model.
        PluginFailed
            `image` is neither a dataset nor an array of numbers, or the network failed.
        """
        return self._network.run(self._values(image, frame), threshold)

    def _values(self, image: Image, frame: int) -> Values:
        manifest = self._network.manifest
        if isinstance(image, Dataset):
            if not manifest.is_volume:
                return values_of_dataset(image, manifest.input, frame)
            frames = range(1, int(image.get("NumberOfFrames") or 1) + 1)
            return _stack([values_of_dataset(image, manifest.input, each) for each in frames])
        if isinstance(image, list | tuple) and image and all(isinstance(each, Dataset) for each in image):
            return _stack([values_of_dataset(each, manifest.input) for each in image])
        array = np.asarray(image)
        if array.dtype.kind not in "biuf":
            raise PluginFailed(
                f"the model {self.name!r} was given {type(image).__name__}; a Dataset or an array is expected"
            )
        axes = 3 if manifest.is_volume else 2
        return Values(array, is_colour=array.ndim == axes + 1 and array.shape[-1] == 3)


def _stack(slices: Sequence[Values]) -> Values:
    """Stack slices into one volume."""
    if len({(each.array.shape, each.is_colour) for each in slices}) > 1:
        shapes = sorted({each.array.shape for each in slices})
        raise NotAvailable(f"the slices have different shapes ({', '.join(map(str, shapes))[:200]}); one is expected")
    return Values(np.stack([each.array for each in slices]), slices[0].is_colour, slices[0].voi)


class Models(dict[str, Model]):
    """Models of a plugin, by the names in META.json's `models`."""

    def __init__(self, folders: Mapping[str, str], threads: int) -> None:
        super().__init__((name, Model(Network(Path(folder), threads=threads))) for name, folder in folders.items())

    def __missing__(self, name: str) -> Model:
        named = ", ".join(self) or "none"
        raise PluginFailed(f"META.json's models do not name {name!r}; they name {named}")
