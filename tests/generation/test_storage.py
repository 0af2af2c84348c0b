import hashlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.files.storage import default_storage
from moto.server import ThreadedMotoServer

from generation import claims, storage
from generation.models import Chunk, Image

from .factories import experiment, made


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


@pytest.fixture
def fake_s3(monkeypatch, settings):
    """Moto's server: a protocol-level fake of S3, spoken to over HTTP as any store is.

    Yields the requests that the storage sends.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "fake")
    settings.S3_BUCKET, settings.S3_REGION = "images", "us-east-1"
    settings.S3_ENDPOINT = f"http://{host}:{port}"
    settings.STORAGES = settings.STORAGES | {"default": {"BACKEND": "generation.s3.S3ContentStorage"}}
    client = default_storage.connection.meta.client
    client.create_bucket(Bucket="images")
    sent = []
    client.meta.events.register(
        "before-send.s3.*", lambda request, **_: sent.append((request.method, urlsplit(request.url).path))
    )
    yield sent
    server.stop()


def test_a_fake_s3_gets_a_file_by_one_put_and_gives_it_back(fake_s3):
    large = bytes(20_000_000)  # more than goes into one part of an upload in parts

    sha256 = storage.keep(large)

    name = storage.image_file(sha256)
    assert fake_s3 == [("HEAD", f"/images/{name}"), ("PUT", f"/images/{name}")]
    with default_storage.open(name) as file:
        assert file.read() == large
    assert default_storage.size(name) == len(large)


def test_a_fake_s3_does_not_get_again_what_is_there(fake_s3):
    storage.keep(b"pixels")
    storage.keep(b"pixels")

    assert [method for method, _ in fake_s3] == ["HEAD", "PUT", "HEAD"]


def test_a_lost_file_is_told_by_a_fake_s3_as_by_a_folder(fake_s3):
    name = storage.image_file("0" * 64)

    with pytest.raises(FileNotFoundError, match="bucket images"):
        default_storage.open(name)
    with pytest.raises(FileNotFoundError):
        default_storage.size(name)
    assert not default_storage.exists(name)


def test_a_store_that_cannot_be_reached_or_has_no_such_bucket_is_an_error_of_the_system(fake_s3, settings):
    for change in ({"S3_BUCKET": "none"}, {"S3_ENDPOINT": "http://127.0.0.1:9"}):
        for name, value in change.items():
            setattr(settings, name, value)
        settings.STORAGES = dict(settings.STORAGES)  # so that Django makes the storage anew

        with pytest.raises(OSError, match=f"The bucket {settings.S3_BUCKET}"):
            storage.keep(b"pixels")


def test_a_changed_file_is_put_aside_in_a_fake_s3(fake_s3):
    sha256 = storage.keep(b"pixels")
    name = storage.image_file(sha256)
    default_storage.bucket.Object(name).put(Body=b"changed")

    aside = storage.set_aside(sha256)

    assert aside == f"{name}.changed"
    assert default_storage.open(aside).read() == b"changed"
    assert not default_storage.exists(name)


@pytest.mark.django_db
def test_the_gallery_shows_a_picture_that_lies_in_a_fake_s3(fake_s3, admin_client):
    experiment()
    chunk = claims.claim(Chunk.Stage.IMAGES, "one")
    claims.record_images(chunk, made(chunk), seconds=1, manifest={})
    image = Image.objects.first()

    answer = admin_client.get(f"/admin/generation/pair/image/{image.sha256}.png")

    assert answer.headers["Content-Type"] == "image/png"
    assert hashlib.sha256(answer.getvalue()).hexdigest() == image.sha256


def test_a_bucket_in_the_environment_switches_to_s3(monkeypatch):
    script = "from evalsite import settings; print(settings.STORAGES['default']['BACKEND'])"
    for bucket, expected in (
        ("", "generation.storage.ContentStorage"),
        ("b", "generation.s3.S3ContentStorage"),
    ):
        monkeypatch.setenv("EVALSITE_S3_BUCKET", bucket)
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == expected
