"""DICOM objects made of results: pictures, derived images, segmentations and reports. Runs in worker processes."""
