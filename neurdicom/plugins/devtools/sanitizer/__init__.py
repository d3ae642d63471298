"""Runs of native plugins built with sanitizers, and their reports, for `neurdicom plugin check --sanitize`."""
