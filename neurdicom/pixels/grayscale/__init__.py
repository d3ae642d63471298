"""Grayscale transformations: modality LUT, VOI LUT, presentation (PS3.3 C.11, PS3.4 N.2).

Owns windows, lookup tables and rendered frames. Imports `pixels.decode`, and `pixels.pipeline` for whole frames.
"""
