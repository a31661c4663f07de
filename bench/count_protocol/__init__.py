"""What counting exactly once costs: the product's consumer against itself without the protocol."""

EXACTLY_ONCE = "exactly once"
NO_DUPLICATES = "exactly once, ids not looked at"
AT_LEAST_ONCE = "at least once"
SIDES = (EXACTLY_ONCE, NO_DUPLICATES, AT_LEAST_ONCE)
# Logs, by the name of their topic: whether the senders chose the events' ids.
LOGS = {"with-ids": True, "without-ids": False}
