"""The main job from end to end: an experiment, a study, a participant, a result."""

import csv
import io
import re

import pytest
from django.contrib.auth.hashers import make_password
from playwright.sync_api import Page, expect

from generation import progress
from generation.catalogue import starter
from generation.models import Experiment, Pair
from studies.models import Participant, Study, Vote
from tests.browser.conftest import shot
from tests.site import Site, site

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def running(transactional_db, browser, tmp_path):
    with site(tmp_path, "web", "worker", "beat", EVALSITE_RECONCILE_SECONDS="1") as started:
        yield started


@pytest.fixture
def researcher(running, open_page, admin_user) -> Page:
    """A researcher who is signed in to the admin."""
    # The site is a process of its own and knows only Django's own hashes.
    admin_user.password = make_password("password", hasher="pbkdf2_sha256")
    admin_user.save()
    page = open_page(viewport={"width": 1280, "height": 900}, base_url=running.address)
    page.goto("/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", "password")
    page.click("[type=submit]")
    expect(page).to_have_url(f"{running.address}/admin/")
    return page


def test_from_an_experiment_to_a_result(running, researcher, open_page):
    starter()
    expect(researcher.locator("body")).to_contain_text("Begin here")
    shot(researcher, "home-empty")
    make_experiment(researcher)
    look_at_pairs(researcher)
    publish_study(researcher)
    codes = {take_part(open_page, running, choice) for choice in ("left", "right")}
    watch(researcher)

    assert len(codes) == 2
    assert Vote.objects.count() == 8
    see_result(researcher)
    see_the_other_pages(researcher)


def make_experiment(page: Page) -> None:
    page.goto("/admin/generation/experiment/add/")
    page.fill("[name=name]", "Flowers")
    page.select_option("[name=model]", label="Flowers 32×32 (DDPM)")
    page.fill("[name=subjects]", "daisy\ntulip")
    page.fill("[name=seeds]", "0:2")
    page.fill("[name=steps]", "0")
    page.fill("[name=rho]", "-1")
    page.click("[name=_save]")
    expect(page.locator("body")).to_contain_text("a number from 0 to 1000")  # ρ is refused first
    shot(page, "experiment-refused")
    page.fill("[name=rho]", "1.35")
    page.fill("[name=steps]", "10")
    shot(page, "experiment-form")
    page.click("[name=_save]")

    expect(page.locator("body")).to_contain_text("8 images in 4 pairs")
    # The page follows the work without being loaded again.
    expect(page.locator("#progress strong")).to_have_text("done", timeout=300_000)
    expect(page.locator("#progress figure")).to_have_count(4)
    expect(page.locator("button:has-text('Pause')")).to_have_count(0)  # nothing is left to pause
    shot(page, "experiment")
    assert Pair.objects.count() == 4
    assert progress.of(Experiment.objects.get()).scored == 8


def look_at_pairs(page: Page) -> None:
    page.click("text=Gallery of pairs")
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    page.wait_for_load_state()
    shot(page, "gallery")
    page.click("#result_list tbody tr:first-child a")
    shot(page, "pair")


def publish_study(page: Page) -> None:
    """From the experiment's page to a draft, which is changed, looked at as a participant, and published."""
    page.goto(Experiment.objects.get().get_absolute_url())
    page.click("text=Make a study of these")
    page.fill("[name=title]", "Which flowers look better?")
    shot(page, "compose")
    page.click("text=Make the draft")
    expect(page.locator("#planner")).to_contain_text("33 people × 4 of 4 pairs")
    page.fill("[name=people]", "3")
    # The figures follow what is typed.
    expect(page.locator("#planner")).to_contain_text("3 people × 4 of 4 pairs, each pair judged 3 times")
    shot(page, "study-form")
    page.click("[name=_continue]")
    expect(page.locator("body")).to_contain_text("was changed successfully")
    preview(page)
    page.click("text=Publish…")
    expect(page.locator("body")).to_contain_text("3 seats are drawn, with 4 trials each")
    shot(page, "publish")
    page.click("button.study-main")
    expect(page.locator("body")).to_contain_text("/s/which-flowers-look-better/")
    study = Study.objects.get()
    assert (study.state, study.people) == ("live", 3)
    page.click("text=Recruit")
    shot(page, "recruit")
    page.goto("/admin/")
    expect(page.locator("body")).to_contain_text("0 of 3 people finished")
    shot(page, "home")


def preview(page: Page) -> None:
    """The draft by keyboard, on the participants' own pages; nothing of it stays."""
    with page.context.expect_page() as opened:
        page.click("text=Preview as participant")
    walk = opened.value
    walk.click("button[name=consent]")
    walk.click("button:has-text('Start')")
    for number in range(1, 5):
        expect(walk.locator("label[for=progress]")).to_have_text(f"{number} of 4")
        expect(walk.locator("body")).to_contain_text("nothing is stored")
        if number == 1:
            shot(walk, "preview")
        expect(walk.locator(".answers button").first).to_have_attribute("aria-disabled", "false")
        walk.keyboard.press("ArrowLeft")
    expect(walk.locator("h1")).to_have_text("Thank you")
    walk.close()
    assert not Participant.objects.exists()


def watch(page: Page) -> None:
    page.goto(f"/admin/studies/study/{Study.objects.get().pk}/watch/")
    expect(page.locator("body")).to_contain_text("2 of 3 finished")
    expect(page.locator("body")).to_contain_text("8 answers")
    shot(page, "watch")
    page.click("a:has-text('Participants') >> nth=-1")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.wait_for_load_state()
    shot(page, "participants")


def take_part(open_page, running: Site, choice: str) -> str:
    """A person without JavaScript, who always chooses the same side. Returns the completion code."""
    person = open_page(java_script_enabled=False, base_url=running.address)
    person.goto("/s/which-flowers-look-better/")
    shot(person, "consent")
    person.click("button[name=consent]")
    shot(person, "instructions")
    person.click("button:has-text('Start')")
    person.wait_for_load_state()
    shot(person, "trial")
    person.set_viewport_size({"width": 360, "height": 740})
    shot(person, "trial-phone")
    person.set_viewport_size({"width": 1280, "height": 800})
    for number in range(1, 5):
        expect(person.locator("label[for=progress]")).to_have_text(f"{number} of 4")
        person.wait_for_load_state()  # pictures included
        sources = person.locator("img").evaluate_all("images => images.map(i => [i.src, i.naturalWidth])")
        assert [width for _, width in sources] == [32, 32]
        assert not [s for s, _ in sources if "baseline" in s or "se2p" in s]
        person.click(f".answers button[value={choice}]")
    shot(person, "end")
    return person.locator("#code").inner_text()


def see_result(page: Page) -> None:
    study = Study.objects.get()
    page.goto(f"/admin/studies/study/{study.pk}/results/")
    expect(page.locator("body")).to_contain_text("Preferences are hidden while the study runs")
    page.goto(f"/admin/studies/study/{study.pk}/close/")
    shot(page, "close")
    page.click("button:has-text('Close the study')")
    page.wait_for_url(lambda address: not address.endswith("/close/"))
    page.goto(f"/admin/studies/study/{study.pk}/results/")
    expect(page.locator("body")).to_contain_text("for se2p (a tie counts half)")
    shot(page, "results")

    with page.expect_download() as download:
        page.click("text=Votes as CSV")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert list(rows[0])[:5] == ["participant", "item", "left", "right", "choice"]
    assert len(rows) == 8
    assert sorted(row["choice"] for row in rows) == ["left"] * 4 + ["right"] * 4
    assert all({row["left"], row["right"]} == {"baseline", "se2p"} for row in rows)
    # Sides are balanced within a person, so one who always chooses the same side has no preference.
    assert sum(row[row["choice"]] == "se2p" for row in rows) == 4
    assert [person.votes.count() for person in Participant.objects.all()] == [4, 4]
    expect(page.locator("body")).to_contain_text("50.0 %")
    expect(page.locator("body")).to_contain_text("95 % interval")


def see_the_other_pages(page: Page) -> None:
    """Each opens, says what it is for, and is kept as a picture."""
    study, experiment = Study.objects.get(), Experiment.objects.get()
    person = study.participants.first()
    for name, address, words in (
        ("studies", "/admin/studies/study/", study.title),
        ("study-closed", f"/admin/studies/study/{study.pk}/change/", "2 of 3 people finished"),
        ("files", f"/admin/studies/study/{study.pk}/files/", "Everything in one archive"),
        ("access", f"/admin/studies/study/{study.pk}/members/", "Who may do what"),
        ("log", f"/admin/studies/auditentry/?study__id__exact={study.pk}", "published"),
        ("participant", f"/admin/studies/participant/{person.pk}/change/", person.pseudonym),
        ("experiments", "/admin/generation/experiment/", "Flowers"),
        ("analysis", f"/admin/studies/study/experiment/{experiment.pk}/", "Report as one file"),
        ("thresholds", f"/admin/generation/experiment/{experiment.pk}/thresholds/", "flagged"),
        ("preset", "/admin/generation/experiment/preset/", "preset"),
        ("import", "/admin/generation/experiment/import/", "Images made elsewhere"),
        ("models", "/admin/generation/imagemodel/", "Flowers 32×32 (DDPM)"),
    ):
        page.goto(address)
        expect(page.locator("body")).to_contain_text(words)
        page.wait_for_load_state()
        shot(page, name)


def test_a_model_is_tuned_and_the_best_setting_goes_to_an_experiment(running, researcher):
    model = starter()
    page = researcher
    page.goto(f"/admin/generation/imagemodel/{model.pk}/change/")
    page.click("text=Tune")
    expect(page.locator("[name=name]")).to_have_value("tuning of Flowers 32×32 (DDPM)")
    page.fill("[name=subjects]", "daisy\ntulip")
    for name, number in {"steps": 4, "reference_steps": 8, "tries": 5}.items():
        page.fill(f"[name={name}]", str(number))
    for name in ("references", "pilot", "judge"):
        page.fill(f"[name={name}]", "8")
    shot(page, "tuning-form")
    page.click("[name=_save]")
    expect(page.locator("body")).to_contain_text("The tuning has begun")
    # The page follows the rounds without being loaded again, and shows the findings when they are there.
    expect(page.locator("#progress strong")).to_have_text("done", timeout=600_000)
    expect(page.locator("body")).to_contain_text("At N = 4 the pilots chose SE2P with")
    shot(page, "tuning")

    page.fill("[name=items]", "2")
    page.click("text=Make this experiment")
    # The tuning's own page says "done" too.
    page.wait_for_url(re.compile(r"/admin/generation/experiment/\d+/change/"))

    expect(page.locator("#progress strong")).to_have_text("done", timeout=300_000)
    made = Experiment.that_stand_alone().get()
    assert Pair.objects.filter(experiment=made).count() == 2 * 2
