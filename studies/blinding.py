"""What keeps a participant from knowing which picture is whose.

People are shown copies made by one encoder, without metadata, padded to one length, at addresses that
are random for each trial and signed for each side. What both sides of a trial have in common they have
in every byte but the pixels; `leaks` checks that before a study is published.
"""

import base64
import hashlib
import hmac
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from studies.keys import keys
from studies.models import Choice

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PADDING = b"paDd"  # ancillary, private, safe to copy: decoders skip it
CHUNK_OVERHEAD = 12  # length, type and checksum
SPOILT_SIDE = 6  # pixels to which the shorter side of a spoilt copy is reduced


class NotAnImage(ValueError):
    """The bytes can't be read as a picture; the message says why."""


# --- copies ------------------------------------------------------------------------------------
def copy(png: bytes, *, spoilt: bool = False) -> bytes:
    """The picture encoded afresh: 8-bit RGB PNG, one set of settings, nothing but pixels in it.

    spoilt: reduced to a few pixels and enlarged again, so that anybody who looks sees it.
    Raises NotAnImage.
    """
    try:
        with Pillow.open(io.BytesIO(png)) as source:
            pixels = source.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise NotAnImage(str(error)) from error
    if spoilt:
        scale = SPOILT_SIDE / min(pixels.size)
        small = (max(2, round(pixels.width * scale)), max(2, round(pixels.height * scale)))
        pixels = pixels.resize(small, Pillow.Resampling.BOX).resize(pixels.size, Pillow.Resampling.BILINEAR)
    # A new image carries none of the source's profile, text or EXIF.
    clean = Pillow.frombytes("RGB", pixels.size, pixels.tobytes())
    out = io.BytesIO()
    clean.save(out, "PNG", compress_level=9)
    return out.getvalue()


def pad(png: bytes, length: int) -> bytes:
    """The PNG made exactly `length` bytes long by an ancillary chunk after its header.

    length: at least `padded_length(png)`. The filling is pseudo-random, so that compression on the way
    would not tell how much of it there is.
    """
    fill = length - len(png) - CHUNK_OVERHEAD
    if fill < 0:
        raise ValueError(f"{len(png)} bytes and a padding chunk don't fit into {length}")
    body = hashlib.shake_256(png).digest(fill)
    chunk = struct.pack(">I", fill) + PADDING + body + struct.pack(">I", zlib.crc32(PADDING + body))
    after_header = len(SIGNATURE) + CHUNK_OVERHEAD + 13
    return png[:after_header] + chunk + png[after_header:]


def padded_length(png: bytes) -> int:
    """The least length that `pad` can give."""
    return len(png) + CHUNK_OVERHEAD


def size(png: bytes) -> tuple[int, int]:
    """Width and height from a PNG's header."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def chunks(png: bytes) -> Iterator[tuple[str, int]]:
    """(type, length) of each chunk."""
    at = len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        yield kind.decode("latin-1"), length
        at += length + CHUNK_OVERHEAD


# --- addresses ---------------------------------------------------------------------------------
def image_address(trial_token: str, side: str) -> str:
    """The opaque name of the picture on one side ("left" or "right") of a trial."""
    return trial_token + _signature(trial_token, side)


def read_image_address(address: str) -> tuple[str, str] | None:
    """(trial token, side), or None if we never gave that address out."""
    trial_token, signature = address[:22], address[22:]
    for side in (Choice.LEFT, Choice.RIGHT):
        for key in keys("pictures"):
            expected = _signature(trial_token, side, key)
            # As bytes: the comparison refuses text beyond ASCII.
            if hmac.compare_digest(expected.encode(), signature.encode()):
                return trial_token, side.value
    return None


def _signature(trial_token: str, side: str, key: bytes | None = None) -> str:
    digest = hmac.digest(key or keys("pictures")[0], f"{trial_token} {side}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:12]).decode()


# --- the check before publication ---------------------------------------------------------------
@dataclass(frozen=True)
class Copies:
    """The two copies of a pair, padded."""

    pair: int
    baseline: bytes
    treatment: bytes


@dataclass(frozen=True)
class Finding:
    """One check of the report."""

    check: str
    passed: bool
    says: str

    def as_json(self) -> dict[str, object]:
        return {"check": self.check, "passed": self.passed, "says": self.says}


class CopiesCheck:
    """Looks at one pair of copies after the other and keeps what differs between the arms."""

    SHOWN = 5  # pairs named in a finding

    def __init__(self) -> None:
        self.pairs = 0
        self.lengths: set[int] = set()
        self.sizes: list[str] = []
        self.formats: list[str] = []
        self.metadata: list[str] = []

    def add(self, copies: Copies) -> None:
        self.pairs += 1
        name = f"pair {copies.pair}"
        self.lengths |= {len(copies.baseline), len(copies.treatment)}
        sizes = size(copies.baseline), size(copies.treatment)
        if sizes[0] != sizes[1]:
            (bw, bh), (tw, th) = sizes
            self.sizes.append(f"{name}: baseline {bw}×{bh}, treatment {tw}×{th}")
        elif copies.baseline[24:29] != copies.treatment[24:29]:
            self.formats.append(f"{name}: the headers differ")
        for arm, png in (("baseline", copies.baseline), ("treatment", copies.treatment)):
            kinds = list(dict.fromkeys(kind for kind, _ in chunks(png)))
            if kinds != ["IHDR", PADDING.decode(), "IDAT", "IEND"]:
                self.metadata.append(f"{name}, {arm}: chunks {' '.join(kinds)}")

    def findings(self) -> list[Finding]:
        lengths = sorted(self.lengths)
        return [
            self._finding("pixel size", self.sizes, "equal within each pair"),
            self._finding("format", self.formats, "8-bit RGB PNG on both sides"),
            self._finding("encoder and metadata", self.metadata, "one encoder, nothing but pixels"),
            Finding(
                "length",
                len(lengths) <= 1,
                "bytes of every copy: " + (", ".join(map(str, lengths)) or "none"),
            ),
        ]

    def _finding(self, check: str, wrong: list[str], fine: str) -> Finding:
        if not wrong:
            return Finding(check, True, f"{fine} ({self.pairs} pairs)")
        more = f" and {len(wrong) - self.SHOWN} more" if len(wrong) > self.SHOWN else ""
        return Finding(check, False, "; ".join(wrong[: self.SHOWN]) + more)
