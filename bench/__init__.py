"""Benchmarks of the product against its peers: `make bench-count-protocol`, `make bench-ingest`.

Each is one command that starts every server it needs, runs the sides in turn, and writes its
section of RESULTS.md.
"""
