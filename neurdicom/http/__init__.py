"""HTTP for the edges above it: the server, the base handler, operations and their OpenAPI description, downloads.

The only package that imports Tornado. It knows `security`, which tells who calls, and settings; no service of the
archive, and neither `web` nor `dicomweb`, which import it.
"""
