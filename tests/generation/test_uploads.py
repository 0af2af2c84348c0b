import io
import stat
import zipfile

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile

from generation import image_folders, uploads
from generation.engine import png
from generation.image_folders import BadImages
from generation.models import Experiment, Image, Pair

from .test_importing import pixels

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/generation/experiment/import/"


@pytest.fixture(autouse=True)
def no_nudges(monkeypatch):
    """The broker of the tests must not fill with messages that nobody takes."""
    monkeypatch.setattr("generation.tasks.start", lambda experiment: None)


def pictures(prefix=""):
    return {
        f"{prefix}{side}/{number}.png": png.encode(pixels(number + len(side)))
        for side in ("baseline", "ours")
        for number in range(2)
    }


def packed(files, change=None):
    """A zip of these files. change(archive): adds what a zip must not hold."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if change:
            change(archive)
    return data.getvalue()


def post(client, data, **fields):
    file = SimpleUploadedFile("lab.zip", data)
    return client.post(ADDRESS, {"name": "a lab's", "steps": "", "file": file} | fields)


def refused(data):
    with pytest.raises(BadImages) as caught:
        uploads.import_zip(ContentFile(data, "lab.zip"), "x")
    assert not Experiment.objects.exists()
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "lab/"])
def test_it_works(admin_client, prefix):
    response = post(admin_client, packed(pictures(prefix)), steps="20")

    made = Experiment.objects.get()
    assert response.url == made.get_absolute_url()
    assert (made.name, made.steps, made.owner.username) == ("a lab's", [20], "admin")
    assert Pair.objects.count() == 2
    with Image.objects.get(item__name="1", condition__name="ours").open() as file:
        assert file.read() == pictures()["ours/1.png"]
    assert admin_client.get(made.get_absolute_url()).status_code == 200
    assert admin_client.get("/admin/generation/pair/").status_code == 200


def test_the_list_of_experiments_leads_there(admin_client):
    assert ADDRESS in admin_client.get("/admin/generation/experiment/").content.decode()
    page = admin_client.get(ADDRESS).content.decode()
    assert 'enctype="multipart/form-data"' in page
    assert 'type="file"' in page


def test_it_is_for_those_who_may_add_experiments(client):
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_experiment"))
    client.force_login(user)

    assert post(client, packed(pictures())).status_code == 403
    assert not Experiment.objects.exists()


def test_what_is_wrong_stands_at_the_field(admin_client):
    bad = pictures() | {"ours/0.png": b"x"}
    response = post(admin_client, packed(bad))
    assert "ours/0.png: is no PNG" in str(response.context["form"].errors["file"])

    missing = {name: data for name, data in pictures().items() if name != "ours/0.png"}
    response = post(admin_client, packed(missing), name="x" * 101, steps="0")
    assert set(response.context["form"].errors) == {"name"}
    response = post(admin_client, packed(missing), steps="0")
    assert "steps = 0" in str(response.context["form"].errors["steps"])

    post(admin_client, packed(pictures()))
    response = post(admin_client, packed(pictures()))
    assert "no experiment has yet" in str(response.context["form"].errors["name"])
    assert Experiment.objects.count() == 1


def test_nothing_lies_about_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    uploads.import_zip(ContentFile(packed(pictures()), "lab.zip"), "x")
    refusal = packed(pictures() | {"ours/x.png": b""})
    with pytest.raises(BadImages):
        uploads.import_zip(ContentFile(refusal, "lab.zip"), "y")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "/evil.png",
        "baseline/../../evil.png",
        "..\\evil.png",
        "C:\\evil.png",
        "C:evil.png",
        "./evil.png",
        "baseline//evil.png",
        "a/b/c/d/evil.png",
        f"baseline/{'x' * 300}.png",
        "baseline/e\nvil.png",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    said = refused(packed(pictures() | {name: b"x"}))

    assert "is no name of a file inside a folder" in said
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind):
    def add(archive):
        entry = zipfile.ZipInfo("baseline/2.png")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")

    assert "'baseline/2.png': is a link" in refused(packed(pictures(), add))


def test_an_encrypted_zip_is_refused():
    data = bytearray(packed({"baseline/0.png": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the zip's directory

    assert "'baseline/0.png': is encrypted" in refused(bytes(data))


@pytest.mark.parametrize("data", [b"", b"no zip", packed(pictures())[:-30], packed(pictures())[:200]])
def test_a_broken_zip_is_refused(data):
    assert "lab.zip: is no whole zip" in refused(data)


def test_a_damaged_file_in_a_zip_is_refused():
    data = bytearray(packed({"baseline/0.png": bytes(1000)}))
    place = data.index(b"0.png") + len(b"0.png") + 2
    data[place] ^= 0xFF

    assert "lab.zip: is no whole zip" in refused(bytes(data))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_twice_is_refused():
    said = refused(packed(pictures(), lambda archive: archive.writestr("ours/0.png", b"x")))
    assert "ours/0.png: is in the zip twice" in said


def test_a_file_in_a_folders_place_is_refused():
    said = refused(packed(pictures(), lambda archive: archive.writestr("ours", b"x")))
    assert "have the same name" in said


def test_too_many_files_are_refused(settings):
    settings.UPLOAD_FILES = 3
    assert "holds 4 files; at most 3" in refused(packed(pictures()))


def test_what_would_unpack_to_too_much_is_refused_before_it_is_unpacked(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings.UPLOAD_BYTES = 2**20
    bomb = packed({f"baseline/{n}.png": bytes(2**19) for n in range(3)})
    assert len(bomb) < 10_000

    assert "unpacks to 1.5\xa0MB; at most 1.0\xa0MB" in refused(bomb)


def test_an_entry_does_not_grow_beyond_what_the_zip_says(settings):
    settings.UPLOAD_BYTES = 2**20
    data = bytearray(packed({"baseline/0.png": bytes(2**22)}))
    for magic, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(magic) + place
        data[start : start + 4] = (1000).to_bytes(4, "little")

    assert "lab.zip: is no whole zip" in refused(bytes(data))


def test_more_faults_than_are_listed_are_counted(admin_client):
    bad = {f"{side}/{n}.png": b"x" for side in ("baseline", "ours") for n in range(15)}

    said = str(post(admin_client, packed(bad)).context["form"].errors["file"])

    assert said.count("is no PNG") == image_folders.MOST_SHOWN
    assert "… and 10 more." in said
