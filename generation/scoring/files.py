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


class BadPicture(ValueError):
    """A file that can't be read as a picture; the message names it."""


def pictures_in(folder: Path) -> list[Path]:
    """The folder's picture files by name. Raises BadPicture where it is no folder or has none."""
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
        raise BadPicture(f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))}).")
    return found


def decode(path: Path | IO[bytes]) -> np.ndarray:
    """(H, W, 3) uint8. Raises BadPicture for a file that is missing, cut off or no picture."""
    try:
        with Image.open(path) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise BadPicture(f"{path}: is no picture that can be read; take it out or make it again.") from error
    except FileNotFoundError as error:
        raise BadPicture(f"{path}: is not there.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPicture(f"{path}: cannot be read ({error}); take it out or make it again.") from error
    if picture.mode.startswith("I"):
        deep = np.asarray(picture, np.float64)
        return np.repeat((deep / 257).round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


def decoded_ahead(blocks: Sequence[Sequence[Path]]) -> Iterator[list[np.ndarray]]:
    """The pictures of each block, the next block being decoded while one is used. Raises BadPicture.

    Two blocks are in memory, whatever their number.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
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
