"""Plugins and models as packages: manifest, parameters, versions, registry, and the services that install them.

It owns the folders of packages and their documents in the catalog, and says which version runs. It may import
workers, which read packages and load them, catalog, blobs and what lies below.
"""
