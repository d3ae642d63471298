"""The REST API: one module of handlers for each resource, each ending in its route table; `routes` joins the tables.

A handler declares the services that it calls as annotated attributes, parses the request, makes one service call and
finishes. The package imports every service below, and `http`; not `dicomweb` or `dimse`, which stand beside it.
"""
