"""Bugs to be caught, planted in the processes under test and nowhere else."""


def install(name: str) -> None:
    """Plant the bug; nothing for the empty name."""
