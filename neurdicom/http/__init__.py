"""HTTP for the protocols above it: the server, the base handler, operations and their OpenAPI description, downloads.

The only package that imports Tornado. It knows `security`, which identifies the caller, `schema`, and settings; no
service of the archive, and neither `web` nor `dicomweb`, which import it.
"""
