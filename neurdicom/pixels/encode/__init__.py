"""Encoding of arrays as pictures, raw samples and compressed frames, and of files in another transfer syntax.

Owns all pixels that leave the server. Imports `pixels.decode`, `pixels.pipeline`, `pixels.kernels` and `dicom`.
"""
