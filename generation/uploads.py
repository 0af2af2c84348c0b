"""A zip of images as a researcher uploads it: unpacked with care, imported, and gone again."""

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.template.defaultfilters import filesizeformat

from generation.engine.folder import MANIFEST
from generation.image_folders import BASELINE, BadImages, left_aside
from generation.importing import check_name, import_folder
from generation.models import Experiment

ENCRYPTED = 1  # flag of an entry
BLOCK = 2**20


def import_zip(upload: File, name: str, *, steps: int | None = None, owner: User | None = None) -> Experiment:
    """Make an experiment of an uploaded zip. Raises what `importing.import_folder` raises."""
    check_name(name)
    with _unpacked(upload) as folder:
        return import_folder(folder, name, steps=steps, owner=owner)


@contextmanager
def _unpacked(upload: File) -> Iterator[Path]:
    """The folder that a zip holds, for as long as it is worked with. Raises BadImages."""
    with tempfile.TemporaryDirectory(prefix="evalsite-upload-") as temporary:
        root = Path(temporary) / "zip"
        root.mkdir()
        try:
            with zipfile.ZipFile(upload) as archive:
                for entry in _checked(archive):
                    _unpack(archive, entry, root / entry.filename)
        except BadImages:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            raise BadImages([f"{upload.name}: is no whole zip ({error}): pack it again."]) from error
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise BadImages(
                [f"{upload.name}: a file and a folder have the same name: pack it again."]
            ) from error
        yield _descended(root)


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of a zip, if all can be unpacked without harm. Raises BadImages."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > settings.UPLOAD_FILES:
        raise BadImages(
            [
                f"The zip holds {len(entries):,} files; at most {settings.UPLOAD_FILES:,} are taken: split "
                "it, or use `manage.py import_images` on the server."
            ]
        )
    size = sum(entry.file_size for entry in entries)
    if size > settings.UPLOAD_BYTES:
        raise BadImages(
            [
                f"The zip unpacks to {filesizeformat(size)}; at most {filesizeformat(settings.UPLOAD_BYTES)} "
                "are taken: split it, or use `manage.py import_images` on the server."
            ]
        )
    names: set[str] = set()
    faults = []
    for entry in entries:
        if fault := _fault(entry):
            faults.append(f"{entry.filename!r}: {fault}.")
        elif entry.filename in names:
            faults.append(f"{entry.filename}: is in the zip twice: pack it again.")
        names.add(entry.filename)
    if faults:
        raise BadImages(faults)
    return [entry for entry in entries if not any(map(left_aside, PurePosixPath(entry.filename).parts))]


def _fault(entry: zipfile.ZipInfo) -> str:
    """Why an entry can't be unpacked; empty where it can."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted: pack it without a password"
    if kind not in (0, stat.S_IFREG):
        return "is a link or no plain file: pack the file itself"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way: pack it as other programs do (deflate)"
    # The name as it stands: a path that would have to be put right is refused.
    path = PurePosixPath(entry.filename)
    if (
        path.is_absolute()
        or ".." in path.parts
        or str(path) != entry.filename
        or not entry.filename.isprintable()
        or set(entry.filename) & set("\\:")
        or any(len(part.encode()) > 255 for part in path.parts)
        or len(path.parts) > 4
    ):
        return "is no name of a file inside a folder: rename it and pack again"
    return ""


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Write one file; it can't grow beyond what the zip's directory says, which was checked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, target.open("xb") as file:
        while block := packed.read(BLOCK):
            file.write(block)


def _descended(folder: Path) -> Path:
    """The folder that was packed: a zip of a folder often holds it by its name."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in (BASELINE, MANIFEST):
        return inside[0]
    return folder
