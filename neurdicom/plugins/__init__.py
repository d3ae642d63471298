"""Plugins and models as packages: manifest, parameters, versions, registry, and the services that install them.

Owns the folders of packages and their documents in the catalog, and decides which version runs. May import workers,
which read packages and load them, catalog, blobs and what lies below.
"""
