"""Benchmarks: each prints a table, or one flat JSON object, and names its peer."""
