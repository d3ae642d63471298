"""Stored Pixel Data to arrays: where frames lie, which codec decodes them, what the Image Pixel module says.

Owns the codecs' names and quirks (PS3.5 8, A.4). Imports nothing else of `pixels`.
"""
