"""The most memory that this process has held."""

import re
from pathlib import Path


def peak(*, anew: bool = False) -> float:
    """In MB; anew: counted from now on. (`getrusage` would count the parent's from before the exec.)"""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6  # type: ignore[index]
