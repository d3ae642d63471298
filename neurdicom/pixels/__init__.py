"""Stored Pixel Data to arrays and pictures, and back to files; runs in worker processes, never in the server's.

Owns decoding, the grayscale pipeline and encoding. Imports `dicom` and `errors`.
"""
