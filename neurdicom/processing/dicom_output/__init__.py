"""DICOM objects made of results: pictures, derived images, segmentations and reports.

Worker processes write them, from `tasks`, which needs `dicom`, `pixels` and `errors` only. `files` is the server's
side, which has them written, and gives or stores them.
"""
