"""The fast door: the same contract as the DRF door, the same code behind it, no framework on
the way (SPEC.md §15)."""
