"""The figures beside the study's form: trials, minutes and precision of what is typed."""

import re

import pytest

from studies.statistics import planning
from studies.statistics.simulation import Design
from tests.studies.factories import experiment

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/studies/study/planner/"


def said(client, **query) -> str:
    answer = client.get(ADDRESS, query)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def block(made, comparisons: int) -> str:
    pair = made.pairs.first()
    return f"{made.pk}:{pair.item.model_id}:{pair.steps}:{pair.treatment.condition_id}*{comparisons}"


def test_it_works(admin_client):
    made = experiment(12)

    page = said(admin_client, people=33, block=block(made, 6), repeats=2, questions=2, catches=1, practice=1)

    assert "<strong>18</strong> trials for each person, about <strong>2 min</strong>; 594 answers" in page
    assert "33 people × 6 of 12 pairs" in page
    found = planning.plan(Design(33, 6, 12, 0.6)).items_like_these  # as `manage.py plan` has it
    assert f"<td>{100 * found.se:.1f} %</td><td>{100 * found.power:.0f} %</td>" in page
    assert "with 66 people" in page
    assert "with 24 pairs" in page


def test_the_same_pairs_for_everybody_are_planned_as_such(admin_client):
    page = said(admin_client, people=10, block=block(experiment(12), 6), assignment="same")

    assert "10 people × 6 of 6 pairs" in page


def test_all_comparisons_of_an_experiment_count(admin_client):
    made = experiment(5, steps=(10, 20))

    page = said(admin_client, people=10, block=f"{made.pk}:all*4")

    assert "<strong>8</strong> trials" in page


def test_nothing_chosen_asks_for_a_choice(admin_client):
    assert "Choose what is compared" in said(admin_client, people=10)


@pytest.mark.parametrize(
    "query",
    [
        {"people": "1"},
        {"people": "999999"},
        {"preference": "0"},
        {"preference": "100"},
    ],
)
def test_a_design_that_can_not_be_planned_says_why(admin_client, query):
    page = said(admin_client, **({"people": "5", "block": block(experiment(6), 6)} | query))

    assert "study-warning" in page


@pytest.mark.parametrize("token", ["", "1", "x:all*3", "1:2:3:4*", "9" * 30 + ":all*2", "0:all*0"])
def test_an_unknown_comparison_is_none(admin_client, token):
    assert "Choose what is compared" in said(admin_client, people=10, block=token)


@pytest.mark.parametrize("people", ["-1", "1.5", "x", "9" * 5000])
def test_what_is_no_number_is_a_bad_request(admin_client, people):
    assert admin_client.get(ADDRESS, {"people": people}).status_code == 400


def test_who_may_not_make_studies_gets_none(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("nobody", is_staff=True))

    assert client.get(ADDRESS).status_code == 403


def test_more_of_anything_is_shown_to_be_no_worse(admin_client):
    page = said(admin_client, people=33, block=block(experiment(25), 25))

    errors = [float(value) for value in re.findall(r"<td>([0-9.]+) %</td><td>", page)]
    assert len(errors) == 3
    assert errors[0] > errors[1] > errors[2]
