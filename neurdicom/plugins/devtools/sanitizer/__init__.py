"""Runs of native plugins built with sanitizers, and their reports, for `neurdicom plugin check --sanitize`.

Owns the build, the child process and the parser of its output. Imports what `plugins.devtools` may.
"""
