"""What a researcher reads on the results page, and that nothing of it is seen while a study is blind."""

import csv
import html
import io
import json
import re
from xml.etree import ElementTree

import pytest

from generation.models import Pair, Score
from studies import kept, latest, protocol
from studies.models import Participant, Study
from tests.studies.factories import Person, draft, experiment, published
from tests.studies.test_results import exclude, voted

pytestmark = pytest.mark.django_db
FILES = ("results/preference.svg/", "results/preference.csv/", "results.json/")


def address(study: Study, page: str = "results/") -> str:
    return f"/admin/studies/study/{study.pk}/{page}"


def read(admin_client, study: Study) -> str:
    """The page's words, without markup."""
    page = admin_client.get(address(study))
    assert page.status_code == 200
    whole = page.content.decode()
    main = whole[whole.index('<div class="study-page">') :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_it_works(admin_client):
    study = voted(published(5, people=4, blind=False))

    shown = read(admin_client, study)

    share = latest.of(study).found["analysis"]["blocks"]
    share = next(iter(share.values()))["preference"]["se2p"]["share"]
    assert f"{100 * share:.1f}\u2009% for se2p (a tie counts half)".replace("\u2009", " ") in shown
    for words in (
        "items like these",
        "these items",
        "Holm's",
        "Krippendorff's α",
        "δ =",
        "Undecided",
        "Drop-out",
    ):
        assert words in shown


def test_the_verdict_is_said_in_words(admin_client):
    study = published(8, people=8, blind=False)
    for _ in range(8):
        person = Person(study).start()
        while 'id="trial"' in person.html:
            trial = person.row.trials.get(position=person.row.votes_count)
            person.vote("left" if trial.left == "treatment" else "right")

    assert "People prefer se2p to baseline (Holm's p below .05)." in read(admin_client, study)


@pytest.mark.parametrize(
    ("people", "choice", "words"),
    [
        (0, "", "There is no figure yet: nobody has voted yet."),
        (1, "left", "all votes come from one person"),
        (3, "tie", "No share of decided votes, since every vote is a tie."),
        (3, "left", "95 % interval"),
    ],
)
def test_scarce_and_one_sided_votes_are_shown_with_the_reason(admin_client, people, choice, words):
    study = published(3, people=3, blind=False)
    for _ in range(people):
        Person(study).start().finish(choice)

    shown = read(admin_client, study)

    assert words in shown.replace("\u2009", " ")
    assert "None" not in shown and "nan" not in shown.lower().split()


def test_a_draft_that_is_not_blind_says_that_nobody_has_voted(admin_client):
    shown = read(admin_client, draft(2, blind=False))

    assert "There is no figure yet: nobody has voted yet." in shown
    assert "None" not in shown


def test_one_vote_is_shown(admin_client):
    study = published(3, people=3, blind=False)
    Person(study).start().vote()

    assert "all votes come from one person" in read(admin_client, study)


def test_several_conditions_are_ranked_together(admin_client):
    made = experiment(6, treatments=("se2p", "naive", "ddim"))
    study = voted(published(experiment=made, people=4, comparisons=6, blind=False))

    shown = read(admin_client, study)

    assert "Bradley-Terry" in shown
    assert "Differences of shares" in shown
    assert "ranking-1" in [figure.name for figure in latest.of(study).figures]


def test_the_other_sets_stand_beside_the_primary_one(admin_client):
    study = voted(published(4, people=4, repeats=1, blind=False))
    exclude(Participant.objects.first())

    shown = read(admin_client, study)

    for words in ("everybody, nobody excluded", "only people who finished", "repeated trials counted too"):
        assert words in shown
    assert "Left out: 1 person by the protocol's rules, 0 who took their answers back." in shown


def test_metrics_stand_beside_votes(admin_client):
    study = voted(published(4, people=2, blind=False))
    for pair in Pair.objects.all():
        Score.objects.create(image=pair.baseline, metric="brightness", version="1", value=0.5)
        Score.objects.create(image=pair.treatment, metric="brightness", version="1", value=0.6)

    shown = read(admin_client, study)

    assert "Metrics beside votes: se2p" in shown
    assert "brightness *" in shown
    assert "brightness, tau: all items have the same metric" in shown


def test_a_plot_is_a_picture_with_its_numbers_and_files(admin_client):
    study = voted(published(experiment=experiment(4, steps=(10, 20)), people=3, blind=False))

    page = admin_client.get(address(study)).content.decode()
    svg = admin_client.get(address(study, "results/trend-1.svg/"))
    table = admin_client.get(address(study, "results/preference.csv/"))

    assert 'alt="Preference. The numbers stand in the table below."' in page
    assert svg["Content-Type"] == "image/svg+xml"
    assert ElementTree.fromstring(svg.content).tag.endswith("svg")
    rows = list(csv.DictReader(io.StringIO(table.content.decode())))
    blocks = latest.of(study).found["analysis"]["blocks"]
    assert [float(row["share"]) for row in rows] == [
        b["preference"]["se2p"]["share"] for b in blocks.values()
    ]


def test_all_figures_can_be_had_as_json(admin_client):
    study = voted(published(3, people=2, blind=False))

    answer = admin_client.get(address(study, "results.json/"))

    assert json.loads(answer.content) == latest.of(study).found


@pytest.mark.parametrize(
    "name", ["results/nothing.svg/", "results/preference.pdf/", "results/preference.html/"]
)
def test_what_is_no_figure_is_not_found(admin_client, name):
    assert admin_client.get(address(published(2, blind=False), name)).status_code == 404


def test_while_a_study_is_blind_no_figure_leaves_the_site(admin_client):
    study = voted(published(3, people=2))

    shown = read(admin_client, study)

    assert "Preferences are hidden while the study runs" in shown
    assert not re.search(r"items like these|Holm|Drop-out|δ|α|prefer se2p", shown)
    for name in FILES:
        answer = admin_client.get(address(study, name))
        assert (answer.status_code, answer["Content-Type"]) == (403, "text/plain; charset=utf-8")
        assert b"hidden until the study is closed" in answer.content
    closed = protocol.change_state(study, Study.State.CLOSED)
    assert all(admin_client.get(address(closed, name)).status_code == 200 for name in FILES)


def test_somebody_without_permission_gets_no_figure(client, django_user_model):
    study = voted(published(3, people=2, blind=False))
    client.force_login(django_user_model.objects.create_user("r", is_staff=True))

    assert {client.get(address(study, name)).status_code for name in FILES} == {403}


def test_a_large_studys_page_says_that_its_results_are_computed(admin_client, monkeypatch):
    monkeypatch.setattr(latest, "SMALL", 1)
    monkeypatch.setattr(latest, "_ask", lambda study: None)
    study = voted(published(3, people=2, blind=False))

    first = read(admin_client, study)
    kept.refresh(study)
    Participant.objects.filter(study=study).update(state="expired")
    later = read(admin_client, study)

    assert "The results are being computed" in first
    assert "Votes have come or gone since." in later
    assert "for se2p (a tie counts half)" in later


def test_names_on_the_page_are_text(admin_client):
    made = experiment(4)
    made.conditions.filter(name="se2p").update(name="<script>alert(1)</script>")
    study = voted(published(experiment=made, people=2, blind=False))

    page = admin_client.get(address(study)).content.decode()
    svg = admin_client.get(address(study, "results/preference.svg/")).content.decode()

    assert "<script>alert(1)" not in page
    assert "<script" not in svg


def test_the_page_shows_kept_results_in_few_queries(admin_client, django_assert_max_num_queries):
    study = voted(published(experiment=experiment(3, steps=(10, 20)), people=3, blind=False))
    admin_client.get(address(study))

    with django_assert_max_num_queries(20):
        admin_client.get(address(study))
