"""Slices and planes in the patient (PS3.3 C.7.6.2, C.7.6.16.2)."""
