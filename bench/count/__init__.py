"""Counting at the speed of a stream engine: the product's consumer against its peers."""

from bench.processes import DATA

DIRECTORY = DATA / "count"
