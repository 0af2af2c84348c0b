"""How far a command's long work is, as bars on a terminal."""

import sys
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bars(file: TextIO | None = None) -> Progress:
    """Bars on the standard error or `file`; where it is no terminal none is drawn.

    A log can get a line now and then instead: `.console.is_terminal` says which it is.
    """
    console = Console(file=file or sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
