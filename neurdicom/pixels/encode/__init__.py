"""Arrays to pictures, raw samples, compressed frames and files in another transfer syntax.

Owns what leaves as pixels. Imports `pixels.decode` and `pixels.pipeline`.
"""
