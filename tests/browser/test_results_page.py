"""The results page in a real browser: everything fits, every plot is there, on a phone as on a screen."""

import pytest
from playwright.sync_api import expect

from generation.models import Pair, Score
from studies.models import Participant
from tests.browser.conftest import shot
from tests.studies.factories import Person, experiment, published

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def study():
    """Two numbers of steps, two treatments, seven people of whom one left and one was excluded, scores."""
    made = experiment(6, steps=(10, 50), treatments=("se2p-rho1.35", "naive"), labels=3)
    study = published(experiment=made, people=8, comparisons=6, repeats=2, blind=False)
    for pair in Pair.objects.all():
        for image, value in ((pair.baseline, 0.5), (pair.treatment, 0.5 + 0.01 * pair.item.position)):
            Score.objects.get_or_create(
                image=image, metric="brightness", version="1", defaults={"value": value}
            )
        Score.objects.create(pair=pair, metric="drift", version="2", value=0.9 - 0.01 * pair.item.position)
    for number in range(7):
        person = Person(study).start()
        for step in range(20 if number == 6 else 100):
            if 'id="trial"' not in person.html:
                break
            trial = person.row.trials.get(position=person.row.votes_count)
            side = "left" if trial.left == "treatment" else "right"
            other = "right" if side == "left" else "left"
            person.vote("tie" if step % 7 == 0 else side if (number + step) % 3 else other)
    left, excluded = Participant.objects.order_by("-pk")[:2]
    Participant.objects.filter(pk=left.pk).update(state="expired")
    Participant.objects.filter(pk=excluded.pk).update(
        state="excluded", why="median response time 90 ms < 300 ms"
    )
    return study


def test_everything_fits_and_is_there_at_every_width(admin_page, live_server, study):
    page = admin_page
    address = f"{live_server.url}/admin/studies/study/{study.pk}/results/"
    for width in (1440, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address)
        expect(page.locator(".study-plot")).to_have_count(9)
        # Preference, two trends, a ranking and a scale for each number of steps, side and drop-out.
        widths = page.locator(".study-plot img").evaluate_all(
            "images => Promise.all(images.map(i => i.decode().then(() => i.clientWidth)))"
        )
        assert min(widths) > 200
        assert max(widths) <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for details in page.locator(".study-page summary").all():
            details.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"results-{width}")
    page.emulate_media(color_scheme="dark")
    page.reload()
    shot(page, "results-dark")


def test_a_plots_files_can_be_kept(admin_page, live_server, study):
    page = admin_page
    page.goto(f"{live_server.url}/admin/studies/study/{study.pk}/results/")
    names = []
    for kind in ("SVG", "CSV"):
        with page.expect_download() as download:
            page.locator("#preference").get_by_role("link", name=kind).click()
        names.append(download.value.suggested_filename)

    assert names == [f"{study.slug}-preference.{kind}" for kind in ("svg", "csv")]
