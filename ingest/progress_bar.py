"""The progress bar of long commands: on a terminal, and nowhere else."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def progress_bar(*columns: str) -> Progress:
    """A description, a bar, `columns` in rich's notation, and the time that is left."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(TextColumn(column) for column in columns),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
