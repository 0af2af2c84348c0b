"""Picture files made elsewhere: what of them is taken, and as which pixels.

A picture is taken where every reader shows the same pixels for it: 8 bits a channel, RGB or grey, one frame,
sRGB. No torch here: the web process checks uploads.
"""

import io
import struct
import warnings
from pathlib import PurePath

import numpy as np
from PIL import Image, ImageCms, ImageOps

from generation.engine import png

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MOST_SIDE = 10_000  # pixels
MOST_BYTES = 400_000_000  # of a file; the largest picture without any compression has fewer
_MODES = {
    "RGBA": "transparency",
    "LA": "transparency",
    "PA": "transparency",
    "P": "a palette",
    "1": "1 bit a channel",
    "CMYK": "CMYK colours",
    "YCbCr": "YCbCr colours",
}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH = 24  # where a PNG's header says how many bits a channel has


class BadPicture(ValueError):
    """A file that is not taken; the message says why, and what to do."""


def decode(data: bytes, name: str) -> np.ndarray:
    """The (H, W, 3) uint8 pixels of a picture file; grey becomes RGB. name: its ending must tell its format.

    Raises BadPicture.
    """
    wanted = FORMATS.get(PurePath(name).suffix.lower())
    if wanted is None:
        raise BadPicture("its name ends in none of .png, .jpg, .jpeg and .webp: rename or remove it")
    if len(data) > MOST_BYTES:
        raise BadPicture(f"has {len(data):,} bytes; at most {MOST_BYTES:,} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
            picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
    except Image.DecompressionBombError:
        raise BadPicture(_too_large("it is")) from None
    except Exception as error:  # Pillow raises whatever its readers meet in a broken file
        raise BadPicture("is no PNG, JPEG or WebP that can be read: make it again") from error
    with picture:
        _check_kind(picture, data, wanted)
        try:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
        except Exception as error:
            raise BadPicture(f"is broken ({_first_line(error)}): make it again") from error
    return np.asarray(upright.convert("RGB"))


def as_png(data: bytes, pixels: np.ndarray) -> bytes:
    """The PNG by which a picture file with these pixels is kept: itself, where it holds nothing but them."""
    return data if _is_plain(data) else png.encode(pixels)


def _check_kind(picture: Image.Image, data: bytes, wanted: str) -> None:
    """What the file's head says, before its pixels are unpacked. Raises BadPicture."""
    if getattr(picture, "n_frames", 1) > 1 or picture.format == "MPO":
        raise BadPicture("is animated or holds several pictures: keep one")
    if picture.format != wanted:
        raise BadPicture(f"is named as {wanted} but is {picture.format}: name it by what it is")
    if max(picture.size) > MOST_SIDE:
        raise BadPicture(_too_large(f"{picture.width} × {picture.height} is"))
    if found := "transparency" if "transparency" in picture.info else _MODES.get(picture.mode):
        raise BadPicture(f"has {found}: convert it to 8-bit RGB or grey")
    if picture.format == "PNG" and data[_DEPTH] != 8:
        raise BadPicture(f"has {data[_DEPTH]} bits a channel: convert it to 8-bit RGB or grey")
    if picture.mode not in ("RGB", "L"):
        raise BadPicture(f"has the mode {picture.mode}: convert it to 8-bit RGB or grey")
    if (profile := picture.info.get("icc_profile")) and "sRGB" not in (named := _profile(profile)):
        raise BadPicture(f"has the colour profile {named}: convert it to sRGB")


def _too_large(found: str) -> str:
    return f"{found} too large: at most {MOST_SIDE:,} pixels a side are taken"


def _profile(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (OSError, ImageCms.PyCMSError):
        return "(unreadable)"


def _is_plain(data: bytes) -> bool:
    """Whether a readable picture file is a PNG of 8-bit RGB that holds pixels and nothing else."""
    if not data.startswith(_SIGNATURE) or data[_DEPTH : _DEPTH + 2] != b"\x08\x02":
        return False
    place, kinds = len(_SIGNATURE), []
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        kinds.append(kind)
        place += 12 + length
    return place == len(data) and set(kinds) == {b"IHDR", b"IDAT", b"IEND"} and kinds[-1] == b"IEND"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
