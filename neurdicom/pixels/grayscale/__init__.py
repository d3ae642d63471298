"""The grayscale transformations: modality LUT, VOI LUT, presentation (PS3.3 C.11, PS3.4 N.2)."""
