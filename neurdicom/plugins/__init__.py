"""Plugins and models as packages: manifest, parameters, versions, registry, and the services that install them."""
