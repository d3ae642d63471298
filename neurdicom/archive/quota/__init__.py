"""Quota: limits of the size and age of the archive; studies over them go to the trash, the oldest first.

Owns the document with the quota's lease and alert. Imports what the archive may.
"""
