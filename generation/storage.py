"""Image files, named by the hash of their content.

A name says what its bytes must be, so writing is idempotent: what is there is never written again, and
two workers that write the same file do no harm.
"""

import contextlib
import hashlib
import os
import tempfile
from itertools import count
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils.deconstruct import deconstructible


@deconstructible
class ContentStorage(FileSystemStorage):
    """A local folder in which a file appears whole or not at all.

    Django's own class writes to the final name, so that a killed process leaves half a file there.
    """

    def __init__(self) -> None:
        super().__init__(location=settings.IMAGE_ROOT)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name  # the same name is the same content

    def _save(self, name: str, content: File) -> str:
        final = Path(self.path(name))
        if final.exists():
            return name
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=final.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                for block in content.chunks():
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(final)
            _sync_folder(final.parent)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise
        return name


def keep(png: bytes) -> str:
    """Store a PNG and return its SHA-256 in hex, by which `Image.file` finds it again."""
    sha256 = hashlib.sha256(png).hexdigest()
    default_storage.save(image_file(sha256), ContentFile(png))
    return sha256


def set_aside(sha256: str) -> str:
    """Give the file in an image's place another name, which is returned. Raises FileNotFoundError."""
    name = image_file(sha256)
    with default_storage.open(name) as file:
        content = file.read()
    names = (f"{name}.changed{'' if number == 1 else number}" for number in count(1))
    aside = next(one for one in names if not default_storage.exists(one))
    default_storage.save(aside, ContentFile(content))
    default_storage.delete(name)
    return aside


def image_file(sha256: str) -> str:
    """The name of an image's file in the storage."""
    return f"{sha256[:2]}/{sha256}.png"


def _sync_folder(folder: Path) -> None:
    """Without this a renamed file may be gone after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
