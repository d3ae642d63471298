"""Separation of the pixels above a threshold, or between two, from the rest."""

import numpy as np
from grey import as_grey, pixel_area
from otsu import otsu_threshold
from pydicom import Dataset


class Plugin:
    """Plugin whose result is a mask, or the pixel values within it, and JSON with the threshold and the area."""

    def init(self):
        """Do nothing: there is nothing to prepare."""

    def process(
        self, ds: Dataset = None, *args, threshold=None, upper=None, keep="mask", invert=False, frame=1, **kwargs
    ):
        image = as_grey(ds, frame)
        is_finite = np.isfinite(image)
        if not is_finite.any():
            raise ValueError("the image has no finite pixel value")
        measured = {"method": "otsu" if threshold is None else "given"}
        if threshold is None:
            threshold = otsu_threshold(image[is_finite])
        if upper is None:
            mask = image >= threshold
        elif threshold <= upper:
            mask = (image >= threshold) & (image <= upper)
        else:
            raise ValueError(f"upper is {upper:g}, and threshold is {threshold:g}; upper must not be smaller")
        if invert:
            mask = ~mask & is_finite
        pixels = int(mask.sum())
        measured |= {"threshold": threshold, "upper": upper, "pixels": pixels, "fraction": pixels / is_finite.sum()}
        if area := pixel_area(ds):
            measured["area_mm2"] = pixels * area
        if keep == "mask":
            return mask.astype(np.uint8), measured
        return np.where(mask, image, image[is_finite].min()), measured

    def destroy(self):
        """Do nothing: there is nothing to release."""
