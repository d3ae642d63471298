"""The REST API on Tornado: one module of handlers for each resource, each ending in its route table."""
