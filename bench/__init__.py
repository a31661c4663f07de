"""Benchmarks of the product against its peers.

Each is one command (`make bench-…`) that starts every server it needs, runs the sides in turn, and
writes its section of RESULTS.md.
"""
