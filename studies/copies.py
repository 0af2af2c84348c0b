"""The presentation copies of a study's pictures: made, checked and stored at publication."""

import hashlib
from collections.abc import Iterable

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from generation.models import Image, Pair
from studies import blinding
from studies.blinding import Copies, CopiesCheck, Finding, NotAnImage
from studies.drafts import NotPublishable


def make(pairs: Iterable[Pair], *, spoilt: bool) -> tuple[dict[tuple[int, bool], str], list[Finding]]:
    """Make and store the presentation copies: {(image, spoilt): file}, and what the check found.

    Two passes, so that thousands of pictures need no memory at once: the first finds the common length.
    """
    pairs = list(pairs)
    variants = (False, True) if spoilt else (False,)
    length = max(
        blinding.padded_length(_copy(image, variant))
        for pair in pairs
        for image in (pair.baseline, pair.treatment)
        for variant in variants
    )
    check = CopiesCheck()
    files: dict[tuple[int, bool], str] = {}
    for pair in pairs:
        for variant in variants:
            baseline, treatment = (
                blinding.pad(_copy(image, variant), length) for image in (pair.baseline, pair.treatment)
            )
            check.add(Copies(pair.pk, baseline, treatment))
            files[pair.baseline_id, variant] = _store(baseline)
            files[pair.treatment_id, variant] = _store(treatment)
    return files, check.findings()


def _copy(image: Image, spoilt: bool) -> bytes:
    try:
        with image.open() as file:
            return blinding.copy(file.read(), spoilt=spoilt)
    except FileNotFoundError as error:
        raise NotPublishable([f"The file of image {image} has vanished from the image storage."]) from error
    except NotAnImage as error:
        raise NotPublishable([f"Image {image} can't be read as a picture: {error}."]) from error


def _store(png: bytes) -> str:
    name = hashlib.sha256(png).hexdigest()
    return default_storage.save(f"shown/{name[:2]}/{name}.png", ContentFile(png))
