"""Runs of plugins and models on stored instances: requests, computations, kept results, DICOM instances made of them.

Imports jobs, archive, plugins and what lies below them; `dicom_output` runs in worker processes and imports `dicom`.
"""
