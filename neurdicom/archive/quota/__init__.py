"""Quota: how much the archive may hold, and for how long; what it holds beyond that goes to the trash, oldest first.

Owns the document with the quota's lease and alert. Imports what the archive may.
"""
