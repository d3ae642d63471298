"""Users, passwords, tokens, sessions, and what each may do.

Owns credentials and the one table of access. Imports the document port of `catalog`, and `coordination`.
"""
