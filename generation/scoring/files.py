"""Pictures from files, decoded ahead on threads while others are scored.

What isn't 8-bit RGB is brought to it: grey is repeated over the channels, 16 bits are scaled to 8, what is
transparent is laid on white, and a photograph is turned as its EXIF data says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
DEEP = frozenset({"PNG", "PPM"})  # what Pillow opens as 32-bit numbers although the file has 16
MOST_NAMED = 20  # of the pictures that can't be read


class BadPicture(ValueError):
    """A file that can't be read as a picture; the message names it."""


def pictures_in(folder: Path) -> list[Path]:
    """The folder's picture files by name, also links that lead nowhere.

    Raises BadPicture where it is no folder or has none.
    """
    try:
        found = sorted(
            path
            for path in folder.iterdir()
            # A link to nothing is taken too, so that it is told rather than left out.
            if path.suffix.lower() in SUFFIXES and (path.is_file() or not path.exists())
        )
    except OSError as error:
        raise BadPicture(f"{folder}: cannot be read as a folder ({error.strerror}).") from error
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise BadPicture(f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))}){_in_folders(folder)}.")
    return found


def _in_folders(folder: Path) -> str:
    """Where they may be instead, as the end of a sentence."""
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f"; give one of its folders: {', '.join(inner[:MOST_NAMED])}" if inner else ""


def decode(path: Path | IO[bytes]) -> np.ndarray:
    """(H, W, 3) uint8.

    Raises BadPicture for a file that is missing, cut off or no picture, and for one that can't be brought to
    8-bit RGB without a choice: several pictures, floating-point numbers, or whole ones of 32 bits.
    """
    try:
        with Image.open(path) as opened:
            kind = opened.format
            # A telephone's second picture (MPO) is a thumbnail or the depth of the first.
            if opened.format != "MPO" and (count := getattr(opened, "n_frames", 1)) > 1:
                raise BadPicture(f"{path}: holds {count} pictures; keep one.")
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise BadPicture(f"{path}: is no picture that can be read; take it out or make it again.") from error
    except FileNotFoundError as error:
        raise BadPicture(f"{path}: is not there.") from error
    except BadPicture:
        raise
    except Exception as error:  # Pillow raises whatever its readers meet in a broken file
        why = getattr(error, "strerror", None) or error  # without the path, which stands before it
        raise BadPicture(f"{path}: cannot be read ({why}); take it out or make it again.") from error
    if picture.mode == "F":
        raise BadPicture(f"{path}: holds floating-point numbers; make it 8 or 16 bits a channel.")
    if picture.mode == "I" and kind not in DEEP:
        raise BadPicture(f"{path}: holds whole numbers of 32 bits; make it 8 or 16 bits a channel.")
    if picture.mode.startswith("I"):
        deep = np.asarray(picture, np.float64)
        return np.repeat((deep / 257).round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


def sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """(width, height) of each file, all of them read to their end.

    Raises BadPicture that names the files which can't be scored, the first of many.
    """
    with _threads() as threads:
        found = list(threads.map(_size, paths))
    if faults := [str(each) for each in found if isinstance(each, BadPicture)]:
        raise BadPicture(listed(faults, len(paths)))
    return [each for each in found if not isinstance(each, BadPicture)]


def listed(faults: Sequence[str], count: int) -> str:
    """Faults of some of `count` pictures as one text, the first of many."""
    if len(faults) == 1:
        return faults[0]
    more = len(faults) - MOST_NAMED
    shown = [*faults[:MOST_NAMED], *([f"And {more} more."] if more > 0 else [])]
    return " ".join([f"{len(faults)} of {count} pictures can't be scored.", *shown])


def _size(path: Path) -> tuple[int, int] | BadPicture:
    try:
        path.name.encode()
        height, width, _ = decode(path).shape
    except UnicodeEncodeError:
        return BadPicture(f"{str(path)!a}: its name is not UTF-8; rename it.")
    except BadPicture as error:
        return error
    return width, height


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))


def decoded_ahead(blocks: Sequence[Sequence[Path]]) -> Iterator[list[np.ndarray]]:
    """The pictures of each block, the next block being decoded while one is used. Raises BadPicture.

    Two blocks are in memory, whatever their number.
    """
    with _threads() as threads:
        ahead = [threads.submit(decode, path) for path in blocks[0]] if blocks else []
        for number in range(len(blocks)):
            now, ahead = ahead, []
            if number + 1 < len(blocks):
                ahead = [threads.submit(decode, path) for path in blocks[number + 1]]
            try:
                yield [each.result() for each in now]
            except BaseException:
                for each in ahead:
                    each.cancel()
                raise
