"""Runs of plugins and models on stored instances: requests, computations, kept results, and DICOM instances from them.

Imports jobs, archive, plugins and what lies below them; `dicom_output` runs in worker processes and imports `dicom`.
"""
