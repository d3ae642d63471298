"""The composition root: the only package that names concrete adapters, and the order of starting and stopping.

It imports everything but the command line; only that, tests and tools import it. They import its modules, each of which
brings only its own part: `backends` the adapters, `storage` the data folder, `server` the whole server.
"""
