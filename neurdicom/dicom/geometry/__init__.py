"""Geometry of slices and planes in the patient (PS3.3 C.7.6.2, C.7.6.16.2), and of the volumes that they make up.

Owns slice order and the checks of a volume. Imports only `errors`.
"""
