"""A participant in a real browser: by mouse, keyboard and touch, without a script, with a bad network."""

import re

import pytest
from playwright.sync_api import expect

from studies import protocol
from studies.models import Participant, Vote
from tests.browser.conftest import shot
from tests.studies.factories import draft, experiment, published

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def visit(open_page, live_server):
    """Opens a study in a browser of its own; what the page complains about fails the test.

    A route is set before the page whose requests it is for: for a moment, the requests of a page that is
    already open can pass a new one by.
    """
    complaints = []

    def open_(study, **options):
        page = open_page(**{"viewport": {"width": 1024, "height": 768}} | options)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None
        )
        page.goto(f"{live_server.url}/s/{study.slug}/")
        return page

    yield open_
    assert complaints == []


def start(page):
    page.get_by_role("button", name="I agree and take part").click()
    page.get_by_role("button", name="Start").click()
    return page


def ready(page, number, of):
    """Wait until the trial can be answered."""
    expect(page.get_by_text(f"{number} of {of}", exact=False).first).to_be_visible()
    expect(page.locator(".answers button").first).to_have_attribute("aria-disabled", "false")


def code(page) -> str:
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    return page.locator("#code").inner_text()


def test_by_mouse_on_the_pictures(visit):
    page = start(visit(published(3)))

    for number in range(1, 4):
        ready(page, number, 3)
        page.locator(".picture").nth(number % 2).click()

    shown = code(page)
    person = Participant.objects.get()
    assert shown == person.code
    votes = list(person.votes.all())
    assert [vote.choice for vote in votes] == ["right", "left", "right"]
    assert all(vote.rt_ms is not None and vote.shown_width > 0 and vote.image_errors == 0 for vote in votes)
    assert {(vote.viewport_width, vote.viewport_height, vote.pixel_ratio) for vote in votes} == {
        (1024, 768, 1.0)
    }


def test_by_keyboard_alone(visit):
    page = visit(published(3))
    for name in ("I agree and take part", "Start"):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")

    for number, key in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown"), start=1):
        ready(page, number, 3)
        page.keyboard.press(key)

    assert code(page)
    assert list(Vote.objects.values_list("choice", flat=True)) == ["left", "right", "tie"]


def test_a_held_key_answers_one_trial_only(visit):
    page = start(visit(published(3)))
    ready(page, 1, 3)
    page.keyboard.down("ArrowLeft")
    ready(page, 2, 3)

    for _ in range(5):
        page.keyboard.down("ArrowLeft")  # what a held key sends: repeats

    ready(page, 2, 3)
    assert Vote.objects.count() == 1


def test_by_touch_on_a_small_screen(visit):
    phone = {
        "viewport": {"width": 360, "height": 740},
        "device_scale_factor": 3,
        "has_touch": True,
        "is_mobile": True,
    }
    page = start(visit(published(2), **phone))

    for number in range(1, 3):
        ready(page, number, 2)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert all(box["height"] >= 48 for box in boxes(page, ".answers button"))
        page.get_by_role("button", name="Right", exact=False).last.tap()

    assert code(page)


def visibility(page):
    return [
        picture.evaluate("image => getComputedStyle(image).visibility")
        for picture in page.locator(".picture img").all()
    ]


def boxes(page, selector):
    """Where elements lie, all at one moment."""
    return page.locator(selector).evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().toJSON())"
    )


@pytest.mark.parametrize(("width", "ratio"), [(360, 3), (768, 1.5), (1440, 1), (3840, 1)])
def test_pictures_are_equal_side_by_side_and_enlarged_by_whole_pixels(visit, width, ratio):
    page = start(visit(published(2), viewport={"width": width, "height": 800}, device_scale_factor=ratio))
    ready(page, 1, 2)

    left, right = boxes(page, ".picture img")

    assert (left["width"], left["height"], left["y"]) == (right["width"], right["height"], right["y"])
    factor = left["width"] * ratio / 32
    assert factor >= 1 and factor == pytest.approx(round(factor), abs=1e-3)
    assert right["x"] - left["x"] - left["width"] >= 0.04 * width - 1
    assert right["x"] + right["width"] <= width


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900), (1024, 768)])
@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_trial_fits_the_screen_without_scrolling(visit, width, height, size):
    study = published(experiment=experiment(2, size=size))
    page = start(visit(study, viewport={"width": width, "height": height}))
    ready(page, 1, 2)

    # Waited for: the page may still be settling when the pictures appear.
    page.wait_for_function(f"document.documentElement.scrollHeight === {height}")


@pytest.mark.parametrize(("phone", "seen"), [(True, 0), (False, 1)])
def test_keys_are_named_only_where_there_is_a_keyboard(visit, phone, seen):
    page = visit(published(2), has_touch=phone, is_mobile=phone, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="I agree and take part").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()

    assert page.locator("kbd:visible").count() == 3 * seen


def test_the_questions_about_the_person_fit_a_small_screen_and_name_what_is_wrong(visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    study = draft(2)
    study.form_questions.create(text="On what do you look?", options="Phone\nComputer")
    study.form_questions.create(text="How old are you?", kind="number", least=18, position=1)
    study.form_questions.create(text="What do you do?", kind="text", required=False, position=2)
    protocol.publish(study)
    page = visit(study, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="I agree and take part").click()
    page.get_by_label("Phone").check()
    page.get_by_label("How old are you?").fill("old")
    shot(page, "questions-360")
    calm = axe.run(page).response["violations"]

    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_have_text("1 question needs another look.")
    expect(page.get_by_label("How old are you?")).to_have_attribute("aria-invalid", "true")
    shot(page, "questions-wrong-360")
    assert page.get_by_label("Phone").is_checked()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert [*calm, *axe.run(page).response["violations"]] == []
    page.get_by_label("How old are you?").fill("17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you for your answers")).to_be_visible()
    shot(page, "screened-360")
    assert page.locator("#code").inner_text() == Participant.objects.get().code
    assert axe.run(page).response["violations"] == []


def test_large_pictures_are_shrunk_alike_and_shown_in_full_size_together(visit):
    page = start(visit(published(experiment=experiment(2, size=700)), viewport={"width": 900, "height": 700}))
    ready(page, 1, 2)
    left, right = boxes(page, ".picture img")
    assert left["width"] == right["width"] < 700

    page.keyboard.press("z")
    page.locator(".picture img").first.hover(position={"x": 10, "y": 10})
    looks = page.locator(".picture img").evaluate_all(
        "images => images.map(i => [getComputedStyle(i).objectFit, getComputedStyle(i).objectPosition])"
    )

    assert looks[0] == looks[1]
    assert looks[0][0] == "none" and looks[0][1] != "50% 50%"
    assert boxes(page, ".picture img") == [left, right]
    page.keyboard.press("ArrowLeft")
    ready(page, 2, 2)


def test_without_a_script(visit):
    page = start(visit(published(2), java_script_enabled=False))

    for number in range(1, 3):
        expect(page.locator("label[for=progress]")).to_have_text(f"{number} of 2")
        page.get_by_role("button", name="Left", exact=False).last.click()

    assert code(page)
    assert set(Vote.objects.values_list("choice", "rt_ms")) == {("left", None)}


def test_both_pictures_appear_together_once_both_have_arrived(visit):
    page = visit(published(2))
    waiting = []

    def hold(route):
        waiting.append(route)

    page.route("**/picture/*", hold)
    start(page)

    while len(waiting) < 2:
        page.wait_for_timeout(50)
    waiting[0].continue_()
    page.wait_for_timeout(300)
    before = visibility(page)
    waiting[1].continue_()
    ready(page, 1, 2)

    assert before == ["hidden", "hidden"]
    assert visibility(page) == ["visible", "visible"]


def test_a_picture_that_does_not_arrive_is_asked_for_again_and_the_person_told(visit):
    page = visit(published(2))
    failed, held = [], []

    def fail_once(route):
        if not failed:
            failed.append(route)
            route.abort()
        else:
            held.append(route)

    page.route("**/picture/*", fail_once)
    start(page)

    expect(page.locator("#trouble")).to_have_text("The picture did not arrive. Trying again…")
    page.unroute("**/picture/*")  # which lets the held ones go
    ready(page, 1, 2)
    expect(page.locator("#trouble")).to_have_text("")
    page.keyboard.press("ArrowLeft")
    ready(page, 2, 2)
    assert Vote.objects.get().image_errors == 1


def test_an_answer_given_offline_is_kept_and_sent_when_the_network_is_back(visit):
    page = start(visit(published(2)))
    ready(page, 1, 2)

    page.context.set_offline(True)
    page.wait_for_function("() => fetch('/').then(() => false, () => true)")  # it holds for this page
    page.keyboard.press("ArrowRight")
    expect(page.locator("#trouble")).to_have_text("You are offline. Your answer is kept and will be sent.")
    assert Vote.objects.count() == 0
    page.context.set_offline(False)

    ready(page, 2, 2)
    assert [vote.choice for vote in Vote.objects.all()] == ["right"]


def test_an_answer_that_the_site_can_not_take_is_kept_and_sent_again(visit):
    page = visit(published(2))
    page.route("**/vote/*/", lambda route: route.fulfill(status=500, body=""))
    start(page)
    ready(page, 1, 2)

    page.keyboard.press("ArrowRight")
    said = "The site does not answer just now. Your answer is kept and will be sent."
    expect(page.locator("#trouble")).to_have_text(said)
    page.unroute("**/vote/*/")

    ready(page, 2, 2)
    assert [vote.choice for vote in Vote.objects.all()] == ["right"]


def test_an_answer_whose_reply_was_lost_is_stored_once(visit):
    page = visit(published(2))
    lost = []

    def lose_the_reply(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())
            route.abort()

    page.route("**/vote/*/", lose_the_reply)
    start(page)
    ready(page, 1, 2)
    page.keyboard.press("ArrowLeft")

    ready(page, 2, 2)
    assert lost[0].status == 200
    assert Vote.objects.count() == 1


def test_a_reload_while_offline_does_not_lose_the_answer(visit):
    page = visit(published(2))
    page.route("**/vote/*/", lambda route: route.abort())
    start(page)
    ready(page, 1, 2)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#trouble")).to_have_text("You are offline. Your answer is kept and will be sent.")

    page.reload()  # before the network is back, or the page might already be on its way to the next trial
    expect(page.locator("#trouble")).to_have_text("You are offline. Your answer is kept and will be sent.")
    page.unroute("**/vote/*/")

    ready(page, 2, 2)
    assert Vote.objects.get().choice == "left"


def test_two_tabs_at_the_same_trial_give_one_vote(visit):
    first = start(visit(published(3)))
    ready(first, 1, 3)
    second = first.context.new_page()
    second.goto(first.url)
    ready(second, 1, 3)

    first.keyboard.press("ArrowLeft")
    ready(first, 2, 3)
    second.keyboard.press("ArrowRight")

    expect(second.get_by_role("heading", name="Already answered")).to_be_visible()
    second.get_by_role("link", name="Go on where you stand").click()
    ready(second, 2, 3)
    assert Vote.objects.get().choice == "left"


def test_back_and_reload_at_every_step(visit):
    page = visit(published(2))
    page.reload()
    start(page)
    for number in (1, 2):
        ready(page, number, 2)
        page.reload()
        ready(page, number, 2)
        page.go_back()
        page.go_forward()
        ready(page, number, 2)
        page.keyboard.press("ArrowLeft")
        page.wait_for_url(re.compile(r"/(trial|end)/$"))
    first = code(page)
    page.reload()
    assert code(page) == first
    page.go_back()
    page.goto(re.sub(r"end/$|trial/$|instructions/$", "", page.url))

    assert code(page) == first
    assert Vote.objects.count() == 2


def test_left_stays_left_in_a_script_that_runs_from_right_to_left(visit):
    page = visit(published(2), locale="ar")
    page.locator("[name=consent]").click()
    page.locator("form button:not([name=consent])").first.click()
    expect(page.locator(".answers button").first).to_have_attribute("aria-disabled", "false")

    left, right = boxes(page, ".picture img")

    assert page.evaluate("document.documentElement.dir") == "rtl"
    assert left["x"] < right["x"]
    assert page.locator(".picture").first.get_attribute("value") == "left"


def test_axe_finds_nothing_on_any_page(visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []

    def look(page):
        for violation in axe.run(page).response["violations"]:
            found.append((page.url, violation["id"], [node["html"][:200] for node in violation["nodes"]]))

    study = published(
        experiment=experiment(4),
        comparisons=2,
        practice=1,
        people=1,
        return_url="https://site.invalid/{code}",
    )
    page = visit(study)
    look(page)
    page.get_by_role("button", name="I agree and take part").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    look(page)
    page.get_by_role("button", name="Start").click()
    for number in range(1, 4):
        ready(page, number, 3)
        look(page)
        page.keyboard.press("ArrowLeft")
    code(page)
    look(page)
    page.get_by_role("link", name="Take my answers back").click()
    erase = page.get_by_role("button", name="Yes, erase my answers and stop")
    expect(erase).to_be_visible()
    look(page)
    late = visit(study)
    late.get_by_role("button", name="I agree and take part").click()
    expect(late.get_by_role("heading", name="All places are taken")).to_be_visible()
    look(late)
    erase.click()
    expect(page.get_by_text("Your answers are erased")).to_be_visible()
    look(page)

    assert found == []
