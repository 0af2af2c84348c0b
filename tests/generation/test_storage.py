import os
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from generation import storage


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A storage of the test's own."""
    settings.IMAGE_ROOT = tmp_path
    settings.STORAGES = dict(settings.STORAGES)  # so that Django makes the storage anew
    return tmp_path


def test_it_works(folder):
    sha256 = storage.keep(b"pixels")

    with default_storage.open(storage.image_file(sha256)) as file:
        assert file.read() == b"pixels"
    assert sha256 in str(next(folder.rglob("*.png")))


def test_what_is_there_is_not_written_again(folder):
    sha256 = storage.keep(b"pixels")
    path = Path(default_storage.path(storage.image_file(sha256)))
    before = path.stat().st_ino, path.stat().st_mtime_ns

    storage.keep(b"pixels")

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    assert len([p for p in folder.rglob("*") if p.is_file()]) == 1


def test_a_failed_write_leaves_nothing_behind(folder, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space left"):
        storage.keep(b"pixels")
    assert not [p for p in folder.rglob("*") if p.is_file()]
