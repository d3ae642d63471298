"""What `make docs` is made of: pages are staged, the REST reference is written, and links are checked.

Imports `neurdicom` for its route table, and nothing of it otherwise: the reference of Python code is read from sources.
"""
