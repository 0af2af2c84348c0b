"""Images made elsewhere come in by a browser."""

import pytest
from playwright.sync_api import expect

from generation.models import Experiment, Pair
from tests.browser.conftest import shot
from tests.generation.test_uploads import packed, pictures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _files(settings, monkeypatch):
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    monkeypatch.setattr("generation.tasks.start", lambda experiment: None)


def zip_of(files):
    return {"name": "lab.zip", "mimeType": "application/zip", "buffer": packed(files)}


def test_a_zip_becomes_an_experiment(browser, live_server, admin_client):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    cookie = admin_client.cookies["sessionid"]
    context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/generation/experiment/")
    page.get_by_role("link", name="Import images").first.click()

    page.get_by_label("Name").fill("a lab's sampler")
    page.locator("input[type=file]").set_input_files(zip_of(pictures() | {"ours/0.png": b"x"}))
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("ours/0.png: is no PNG")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("a lab's sampler")
    shot(page, "import-refused")

    page.locator("input[type=file]").set_input_files(zip_of(pictures()))
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("2 pairs are taken")).to_be_visible()
    assert Experiment.objects.get().name == "a lab's sampler"
    assert Pair.objects.count() == 2
    shot(page, "imported")
    context.close()
