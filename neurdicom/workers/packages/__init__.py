"""Packages of plugins and models: hostile ZIPs checked, extracted, kept in folders by digest.

Owns META.json's reading and the folders below `plugins` and `models` of the data folder. Imports `blobs.base` (spool
files), `schema` and `errors`.
"""
