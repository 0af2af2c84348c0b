"""What a researcher reads about an experiment's scores in the admin."""

import csv
import html
import io
import json
import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from generation.models import Chunk, Experiment, Pair, Score
from studies import experiments_kept, experiments_latest, tasks
from studies.models import Analysis
from tests.studies.factories import experiment
from tests.studies.test_experiments import scored

pytestmark = pytest.mark.django_db


def address(made: Experiment, name: str = "studies_experiment", *more: str) -> str:
    return reverse(f"admin:{name}", args=[made.pk, *more])


def read(client, made: Experiment) -> str:
    page = client.get(address(made))
    assert page.status_code == 200
    whole = page.content.decode()
    main = whole[whole.index('<div class="study-page analysis">') :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_it_works(admin_client):
    made = scored(steps=(10, 20), treatments=("se2p", "naive"))
    shown = read(admin_client, made)

    for words in (
        "What was found",
        "naive's pictures have higher sharpness than the baseline's at N = 20",
        "12 items in 3 classes",
        "Drift",
        "Report as one file",
    ):
        assert words in shown


def test_the_experiments_page_leads_there(admin_client):
    made = scored()
    Chunk.objects.filter(experiment=made).update(made_at="2026-01-01T00:00Z", scored_at="2026-01-01T00:00Z")

    page = admin_client.get(made.get_absolute_url()).content.decode()
    assert f'href="{address(made)}"' in page


def test_each_plot_has_its_svg_and_csv(admin_client):
    made = scored(steps=(10, 20))
    page = admin_client.get(address(made)).content.decode()
    names = re.findall(r'<figure class="study-plot" id="([^"]+)"', page)

    assert len(names) == len(set(names)) > 2
    for name in names:
        svg = admin_client.get(address(made, "studies_experiment_figure", name, "svg"))
        assert svg["Content-Type"] == "image/svg+xml"
        assert svg.content.count(b"</svg>") == 1
        rows = list(
            csv.reader(
                io.StringIO(
                    admin_client.get(address(made, "studies_experiment_figure", name, "csv")).content.decode()
                )
            )
        )
        assert len(rows) > 1


def test_plots_are_what_they_were(admin_client):
    made = scored(steps=(10, 20), metrics=("sharpness", "clipped"))
    name = experiments_latest.of(made).figures[0].figure.name

    one, two = (admin_client.get(address(made, "studies_experiment_figure", name, "svg")) for _ in range(2))
    assert one.content == two.content


@pytest.mark.parametrize(("name", "kind"), [("no-such", "svg"), ("difference-1", "exe")])
def test_an_unknown_plot_is_not_found(admin_client, name, kind):
    assert admin_client.get(address(scored(), "studies_experiment_figure", name, kind)).status_code == 404


def test_the_json_is_what_the_page_shows(admin_client):
    made = scored()
    answer = admin_client.get(address(made, "studies_experiment_json"))

    assert json.loads(answer.content) == experiments_latest.of(made).found
    assert "attachment" in answer["Content-Disposition"]


def test_all_scores_can_be_had_as_csv(admin_client):
    made = scored()
    scored()  # another one's scores stay out
    first, second = made.items.order_by("position")[:2]
    made.items.filter(pk=second.pk).update(label=77)  # a class without a name
    made.items.filter(pk=first.pk).update(label=None, prompt='=1+1, "so"\nand on')
    Pair.objects.filter(item=first).update(flags=["blurred", "artefacts"], excluded="odd")
    page = admin_client.get(address(made)).content.decode()
    assert f"{address(made)}scores.csv" in page

    answer = admin_client.get(f"{address(made)}scores.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode(), newline="")))

    assert "attachment" in answer["Content-Disposition"]
    scores = Score.objects.filter(image__chunk__experiment=made) | Score.objects.filter(pair__experiment=made)
    assert sorted(float(row["value"]) for row in rows) == sorted(scores.values_list("value", flat=True))
    for row in rows:
        found = scores.filter(metric=row["metric"], value=float(row["value"])).get()
        picture = found.image or found.pair.treatment
        assert row["side"] == ("pair" if found.pair else "image")
        assert (row["image"], row["condition"]) == (picture.sha256, picture.condition.name)
        assert (int(row["seed"]), int(row["item"])) == (picture.item.seed, picture.item.position)
    own = [row for row in rows if int(row["item"]) == first.position]
    assert {row["prompt"] for row in own} == {"'" + '=1+1, "so"\nand on'}
    assert {(row["flags"], row["left_out"]) for row in own if row["condition"] != "baseline"} == {
        ("blurred + artefacts", "odd")
    }
    assert {(row["flags"], row["left_out"]) for row in own if row["condition"] == "baseline"} == {("", "")}
    assert {row["label"] for row in rows if int(row["item"]) == second.position} == {"77"}

    Experiment.objects.filter(pk=made.pk).update(settled_at=None)  # flags hold no longer
    answer = admin_client.get(f"{address(made)}scores.csv")
    assert b"blurred" not in b"".join(answer.streaming_content)


def test_the_report_stands_alone(admin_client):
    page = admin_client.get(address(scored(), "studies_experiment_report")).content.decode()

    assert page.startswith("<!doctype html>")
    assert "http" not in page


def test_a_new_exclusion_is_seen_at_once(admin_client):
    made = scored()
    read(admin_client, made)
    Pair.objects.filter(pk=made.pairs.first().pk).update(excluded="a hand with six fingers")

    assert "12 pairs made, 1 pair left out" in read(admin_client, made).replace("\u2009", " ")


def test_what_has_not_changed_is_not_computed_again(admin_client, monkeypatch):
    made = scored()
    read(admin_client, made)
    monkeypatch.setattr(experiments_kept, "refresh", lambda experiment: pytest.fail("computed again"))

    read(admin_client, made)


def test_a_large_experiment_is_computed_by_a_worker(admin_client, monkeypatch):
    made = scored()
    asked = []
    monkeypatch.setattr(experiments_latest, "SMALL", 0)
    monkeypatch.setattr(tasks.analyse_experiment, "apply_async", lambda args, **_: asked.append(args))

    for _ in range(2):
        assert "A worker computes it" in read(admin_client, made)
    assert asked == [[made.pk]]
    assert admin_client.get(address(made, "studies_experiment_json")).status_code == 409

    tasks.analyse_experiment(made.pk)
    assert "sharpness" in read(admin_client, made)

    Pair.objects.filter(pk=made.pairs.first().pk).update(excluded="blurred")
    shown = read(admin_client, made)
    assert "changed since" in shown and "12 pairs made" in shown
    assert asked == [[made.pk]] * 2


@pytest.mark.parametrize(("end", "status"), [("", 200), ("_json", 409), ("_report", 409)])
def test_an_analysis_that_another_version_stored_is_not_shown(admin_client, monkeypatch, end, status):
    """It may lack what the page reads; the worker's next one is waited for."""
    made = scored()
    with monkeypatch.context() as earlier:
        earlier.setattr(experiments_kept, "SCHEMA", experiments_kept.SCHEMA - 1)
        experiments_kept.refresh(made)
    Analysis.objects.update(document="{}")
    monkeypatch.setattr(experiments_latest, "SMALL", 0)
    monkeypatch.setattr(tasks.analyse_experiment, "apply_async", lambda args, **_: None)

    assert admin_client.get(address(made, f"studies_experiment{end}")).status_code == status


def test_why_a_metric_has_no_scores_is_said(admin_client):
    made = scored()
    made.metrics = [*made.metrics, "musiq"]
    made.save()
    Chunk.objects.filter(experiment=made).update(unscored={"musiq": "run weights fetch musiq"})

    assert "musiq has no score for some images or all: run weights fetch musiq" in read(admin_client, made)


@pytest.mark.parametrize("scores", [False, True])
def test_an_experiment_that_has_nothing_yet_says_so(admin_client, scores):
    made = experiment(2)
    if scores:
        Pair.objects.filter(experiment=made).delete()

    shown = read(admin_client, made)
    assert ("no pair is made yet" if scores else "nothing is scored yet") in shown


def test_the_number_of_queries_is_bounded(admin_client):
    def queries(made):
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(address(made))
        return len(captured)

    few, many = scored(4, labels=2), scored(20, labels=2, treatments=("se2p", "naive"), steps=(10, 20))
    assert queries(few) == queries(many) <= 40
    assert queries(few) <= 12  # kept


def test_who_may_not_see_experiments_sees_no_analysis(client):
    made = scored()
    client.force_login(User.objects.create_user("assistant", is_staff=True))

    for name in ("studies_experiment", "studies_experiment_json", "studies_experiment_report"):
        assert client.get(address(made, name)).status_code == 403
    client.logout()
    assert client.get(address(made)).status_code == 302


def test_an_analysis_goes_with_its_experiment(admin_client):
    made = scored()
    read(admin_client, made)
    made.delete()

    assert not Analysis.objects.exists()


def test_a_later_score_is_seen(admin_client):
    made = scored(metrics=("sharpness",))
    read(admin_client, made)
    Score.objects.filter(metric="sharpness").delete()
    Chunk.objects.filter(experiment=made).update(scored_at="2026-01-01T00:00Z")

    assert "nothing is scored yet" in read(admin_client, made)
