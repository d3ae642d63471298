"""DICOM objects made of results: pictures, derived images, segmentations and reports.

Worker processes write them, in `tasks`, which imports `dicom`, `pixels` and `errors` only. `files` is the server's
side, which has them written, and returns or stores them.
"""
