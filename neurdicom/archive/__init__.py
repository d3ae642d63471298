"""The archive's services on stored entities: search, queries, retrieval, rendering, edits, deletion.

Owns the verbs on stored entities, free of any protocol. Imports `workers`, `coordination` and what lies below them;
neither `jobs` nor `plugins`, which stand beside it.
"""
