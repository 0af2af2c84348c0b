"""The gallery in a real browser: pictures are whole and scores can be read, on a phone as on a screen."""

import pytest

from generation.models import Score
from tests.browser.conftest import shot
from tests.studies.factories import experiment

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CUT = """cells => cells.filter(
    cell => cell.scrollHeight > cell.clientHeight + 1 || cell.scrollWidth > cell.clientWidth + 1
).map(cell => cell.className)"""


@pytest.mark.parametrize("width", [390, 1200])
def test_no_cell_is_cut(width, admin_page, live_server):
    page = admin_page
    made = experiment(3, size=128)
    pair = made.pairs.first()
    for metric in ("brightness", "contrast", "sharpness", "colourfulness", "saturation", "high_frequency"):
        for image in (pair.baseline, pair.treatment):
            Score.objects.create(image=image, metric=metric, version="1", value=0.123)
    made.pairs.filter(pk=pair.pk).update(excluded="a hand with six fingers, and a flower with a face in it")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{live_server.url}/admin/generation/pair/?experiment={made.pk}")

    assert page.locator("#result_list td").evaluate_all(CUT) == []
    picture = page.locator("#result_list img").first.bounding_box()
    cell = page.locator("#result_list .field-pictures").first.bounding_box()
    assert picture["height"] == 96
    assert cell["y"] <= picture["y"]
    assert picture["y"] + 96 <= cell["y"] + cell["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot(page, f"gallery-{width}")
