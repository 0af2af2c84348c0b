"""Images made elsewhere come in by a browser."""

import pytest
from playwright.sync_api import expect

from generation.models import Experiment, Pair
from tests.browser.conftest import shot
from tests.generation.test_uploads import packed, pictures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    monkeypatch.setattr("generation.tasks.start", lambda experiment: None)


def zip_of(files):
    return {"name": "lab.zip", "mimeType": "application/zip", "buffer": packed(files)}


def test_a_zip_becomes_an_experiment(admin_page, live_server):
    page = admin_page
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
