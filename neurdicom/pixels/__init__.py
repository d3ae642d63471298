"""Pixel processing: decoding, grayscale pipeline, encoding. Runs in worker processes, never in the server's.

Owns decoding, the grayscale pipeline and encoding. Imports `dicom` and `errors`.
"""
