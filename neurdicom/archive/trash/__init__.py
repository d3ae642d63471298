"""Trash: deletions that can be undone, and earlier versions of instances, until their time is over.

Owns the records of what lies in the trash; the files lie in places of the blob store. Imports what the archive may.
"""
