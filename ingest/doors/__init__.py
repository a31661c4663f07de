"""Doors of other trackers: their wire formats in, our events out, their answers back.

A module a tracker, pure; `runner` does what all of them need, `endpoints` lists them.
"""
