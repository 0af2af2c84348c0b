"""An experiment and a draft that compares it go, in the order that the pages ask for."""

import pytest
from playwright.sync_api import expect

from generation.models import Experiment
from tests.browser.conftest import shot
from tests.studies.factories import draft

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    monkeypatch.setattr("generation.tasks._nudge", lambda task, times=1: None)


@pytest.mark.parametrize(("name", "width"), [("deletion", 1280), ("deletion-phone", 390)])
def test_what_a_draft_compares_goes_after_it(admin_page, live_server, name, width):
    study = draft()
    page = admin_page
    page.set_viewport_size({"width": width, "height": 800})
    experiment = Experiment.objects.get()
    address = f"{live_server.url}/admin/generation/experiment/{experiment.pk}/delete/"

    page.goto(address)
    expect(page.get_by_text("take the comparison out of the draft")).to_be_visible()
    shot(page, f"{name}-refused")
    study.delete()
    page.goto(address)
    expect(page.get_by_text("4 pairs").first).to_be_visible()
    shot(page, name)
    page.get_by_role("button", name="Yes").click()

    expect(page.get_by_text("is being deleted by workers")).to_be_visible()
    shot(page, f"{name}-begun")
    assert Experiment.objects.get().state == "deleting"
