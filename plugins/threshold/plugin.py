"""Separates what is brighter than a threshold from the rest."""

import numpy as np
from otsu import otsu_threshold
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut


class Plugin:
    """Answers an image: a mask, or the pixel values within it."""

    def init(self):
        """Nothing to prepare."""

    def process(self, ds: Dataset = None, *args, threshold=None, keep="mask", invert=False, **kwargs):
        image = as_grey(ds)
        if threshold is None:
            threshold = otsu_threshold(image)
        mask = (image < threshold) if invert else (image >= threshold)
        if keep == "mask":
            return mask.astype(np.uint8) * 255
        return np.where(mask, image, image.min())

    def destroy(self):
        """Nothing to release."""


def as_grey(ds: Dataset) -> np.ndarray:
    """The first frame in the modality's units; colour as its luminance."""
    image = ds.pixel_array
    if ds.get("SamplesPerPixel", 1) > 1:
        image = image[0] if image.ndim == 4 else image
        return image[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return apply_modality_lut(image[0] if image.ndim == 3 else image, ds).astype(np.float64)
