"""Parts of a crash test: actors that use a server by each protocol, a ledger of acknowledged requests, and a check.

Owns no process: the caller starts a server, kills it and starts it again, and says which actors there are; one more
actor is one small class. Imports nothing else of the package: a server is used as by any client.
"""
