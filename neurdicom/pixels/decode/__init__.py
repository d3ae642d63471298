"""Decoding of stored Pixel Data into arrays: the places of frames, the codecs, the Image Pixel module.

Owns the codecs' names and quirks (PS3.5 8, A.4). Imports nothing else of `pixels`.
"""
