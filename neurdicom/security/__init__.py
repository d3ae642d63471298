"""Users, passwords, tokens, sessions, and the access of each.

Owns credentials and the one table of access. Imports the document port of `catalog`, `schema` and `errors`.
"""
