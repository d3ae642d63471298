"""Benchmarks: each compares both sides in one run on the same data and prints the ratio."""
