import threading
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from generation import claims, loose_files, storage, tasks
from generation.models import Image, LooseFile
from tests.generation.factories import experiment, made

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    """A storage of the test's own."""
    settings.IMAGE_ROOT = tmp_path
    settings.STORAGES = dict(settings.STORAGES)  # so that Django makes the storage anew
    return tmp_path


def drawn(**changes) -> list[str]:
    """The files of an experiment's images."""
    planned = experiment(**changes)
    chunk = claims.claim("images", "w")
    claims.record_images(chunk, made(chunk), seconds=1.0, manifest={})
    return [image.file for image in Image.objects.filter(chunk__experiment=planned)]


def later() -> None:
    LooseFile.objects.update(at=timezone.now() - 2 * loose_files.GRACE)


def swept() -> None:
    tasks.sweep_files()


def there(files: list[str]) -> int:
    return sum(map(default_storage.exists, files))


def test_it_works():
    files = drawn()
    Image.objects.all().delete()
    swept()
    assert there(files) == len(files) == 12  # the time of grace

    later()
    swept()

    assert there(files) == 0
    assert not LooseFile.objects.exists()


def test_a_file_that_another_image_shows_stays():
    files = drawn()
    kept = Image.objects.first()
    Image.objects.exclude(pk=kept.pk).update(sha256=kept.sha256)
    Image.objects.exclude(pk=kept.pk).delete()
    later()

    swept()

    assert default_storage.exists(kept.file)
    assert there(files) == 12  # the others' names were never discarded
    assert not LooseFile.objects.exists()


def test_a_file_that_was_kept_again_stays():
    files = drawn()
    Image.objects.all().delete()
    later()

    loose_files.keep(default_storage.open(files[0]).read())
    swept()

    assert there(files) == 1
    assert default_storage.exists(files[0])


def test_a_file_that_cannot_be_deleted_keeps_no_other_and_is_tried_again(monkeypatch, caplog):
    files = drawn()
    Image.objects.all().delete()
    later()
    delete = default_storage.delete

    def fails(storage, name):
        if name == files[0]:
            raise OSError("no disk")
        delete(name)

    with monkeypatch.context() as patch:
        patch.setattr(type(default_storage._wrapped), "delete", fails)
        swept()
    left = there(files)
    later()
    swept()

    assert (left, there(files)) == (1, 0)
    assert "1 files of deleted images can't be deleted (no disk)" in caplog.text


def test_a_file_that_was_kept_for_nothing_goes():
    name = storage.image_file(loose_files.keep(b"pixels"))  # whose import was killed, or whose lease was lost
    swept()
    kept = default_storage.exists(name)

    later()
    swept()

    assert (kept, default_storage.exists(name)) == (True, False)


def test_a_file_that_was_kept_and_recorded_stays():
    planned = experiment()
    chunk = claims.claim("images", "w")
    images = made(chunk)
    for one in images:
        loose_files.keep(default_storage.open(storage.image_file(one.sha256)).read())
    claims.record_images(chunk, images, seconds=1.0, manifest={})
    later()

    swept()

    assert there([image.file for image in Image.objects.filter(chunk__experiment=planned)]) == len(images)
    assert not LooseFile.objects.exists()


def test_a_file_that_is_gone_already_is_no_error():
    files = drawn()
    default_storage.delete(files[0])
    Image.objects.all().delete()
    later()

    swept()

    assert there(files) == 0


@pytest.mark.django_db(transaction=True)
def test_who_keeps_a_file_waits_for_the_sweep_that_is_at_it(monkeypatch):
    files = drawn()
    content = default_storage.open(files[0]).read()
    Image.objects.all().delete()
    later()
    begun, kept = threading.Event(), threading.Event()

    def keep() -> None:
        begun.set()
        loose_files.keep(content)
        kept.set()
        connection.close()

    other = threading.Thread(target=keep)

    def in_between(name, delete=default_storage.delete):
        """The sweep has its rows; somebody keeps one of the files now."""
        if not begun.is_set():
            other.start()
            assert begun.wait(60)
            assert not kept.wait(0.5)
        delete(name)

    with monkeypatch.context() as patch:
        patch.setattr(type(default_storage._wrapped), "delete", lambda storage, name: in_between(name))
        loose_files.sweep()
    other.join(60)

    assert kept.is_set()
    assert [name for name in files if default_storage.exists(name)] == [files[0]]


def test_the_grace_is_longer_than_a_lease(settings):
    assert timedelta(seconds=10 * settings.LEASE_SECONDS) < loose_files.GRACE
