"""Codecs of datasets: bytes, the DICOM JSON model, Native XML, character sets.

Owns the reading and writing of element streams (PS3.5 chapter 7). Imports nothing else of `dicom`.
"""
