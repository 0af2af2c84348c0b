"""What is scored together: single pictures, or a baseline's and a treatment's of one seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generation.scoring.files import BadPicture, listed, sizes
from generation.scoring.names import Kind

BASELINE = "baseline"


@dataclass(frozen=True)
class Item:
    """One picture under the empty side, or the baseline and a treatment under their conditions' names."""

    name: str
    files: Mapping[str, Path]  # by side
    prompt: str = ""
    label: int | None = None


def references(items: Sequence[Item], folder: Path) -> dict[Path, Path]:
    """The file of the same name in the folder, for each picture. Raises BadPicture where one has none."""
    if not folder.is_dir():
        raise BadPicture(f"{folder}: no such folder.")
    found = {path: folder / path.name for item in items for path in item.files.values()}
    if lacking := [path.name for path in found.values() if not path.is_file()]:
        raise BadPicture(
            f"{folder} lacks {lacking[0]} ({len(lacking)} of {len(found)} pictures have no reference)."
        )
    return found


def check(items: Sequence[Item], references: Mapping[Path, Path]) -> None:
    """All files can be scored, known before hours of work. Raises BadPicture that names those that can't."""
    paths = [path for item in items for path in item.files.values()]
    every = [*paths, *(references[path] for path in paths if references)]
    size = dict(zip(every, sizes(every), strict=True))
    faults = [
        f"{path} is {'×'.join(map(str, size[path]))} and its reference "
        f"{'×'.join(map(str, size[other]))}: make the sizes equal."
        for path, other in references.items()
        if size[path] != size[other]
    ]
    if faults:
        raise BadPicture(listed(faults, len(paths)))


def kinds(items: Sequence[Item], *, reference: bool) -> set[Kind]:
    """The kinds of metrics that these items have what they need for."""
    found: set[Kind] = {"image"}
    if reference:
        found.add("reference")
    if any(len(item.files) == 2 for item in items):
        found.add("pair")
    if any(item.prompt for item in items):
        found.add("prompt")
    if seeds(items):
        found.add("seeds")
    return found


def seeds(items: Sequence[Item]) -> list[list[Item]]:
    """Items whose baselines are seeds of one label or prompt, two or more together."""
    groups: dict[tuple[int | None, str], list[Item]] = defaultdict(list)
    for item in items:
        if BASELINE in item.files:
            groups[item.label, item.prompt].append(item)
    return [group for group in groups.values() if len(group) > 1]
