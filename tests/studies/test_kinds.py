"""Practice, catch and repeated trials, several questions, and people left out by rule."""

import csv
import io
from collections import Counter

import pytest

from studies import exclusion, export, protocol, recruitment, results
from studies.models import Mode, Participant, Seat, Study, Vote
from studies.statistics import table
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def careful(person: Person, answers=("left", "right")) -> Person:
    """Chooses the clear picture where one is spoilt."""
    for step in range(200):
        if 'id="trial"' not in person.html:
            break
        row = person.row
        trial = row.trials.get(position=row.votes_count)
        choice = answers[step % len(answers)]
        if trial.kind in ("practice", "catch"):
            choice = "right" if trial.left.startswith("spoilt-") else "left"
        person.vote(choice, rt_ms="900")
    return person


def full(**fields) -> Study:
    return published(10, comparisons=5, practice=2, catches=2, repeats=2, people=4, blind=False, **fields)


def test_all_kinds_are_shown_and_only_main_trials_are_analysed():
    study = full()
    for _ in range(4):
        careful(Person(study).start())

    kinds = Counter(Vote.objects.values_list("trial__kind", flat=True))
    assert kinds == {"main": 20, "repeat": 8, "practice": 8, "catch": 8}
    assert results.compute(study)["analysis"]["votes"]["main"] == 20


def test_the_votes_file_with_all_kinds_can_be_analysed():
    study = full(questions=("Which looks better?", "Which looks more real?"))
    for _ in range(3):
        careful(Person(study).start())

    content = b"".join(export.votes_csv(study))

    votes = table.read(content)
    assert len(votes) == 3 * (2 + 2 * (5 + 2) + 2)
    catches = [row for row in csv.DictReader(io.StringIO(content.decode())) if row["kind"] == "catch"]
    assert all("catch" in (row["left"], row["right"]) for row in catches)


def test_practice_tells_which_picture_was_the_clear_one():
    person = Person(full()).start()
    trial = person.row.trials.get(position=0)
    clear = "right" if trial.left.startswith("spoilt-") else "left"
    other = {"left": "right", "right": "left"}[clear]

    assert "practice" in person.html
    person.vote(other)
    assert f"Not quite: the {clear} picture was the clear one." in person.html
    trial = person.row.trials.get(position=1)
    clear = "right" if trial.left.startswith("spoilt-") else "left"
    person.vote(clear)
    assert f"Yes: the {clear} picture was the clear one." in person.html


def test_questions_are_asked_in_passes_over_the_same_pairs():
    study = published(3, questions=("Which looks better?", "Which looks more real?"), people=2)
    person = Person(study).start()
    asked = []
    while 'id="trial"' in person.html:
        asked.append("real" if "more real" in person.html else "better")
        person.vote()

    trials = list(person.row.trials.all())
    assert asked == ["better"] * 3 + ["real"] * 3
    assert {t.pair_id for t in trials[:3]} == {t.pair_id for t in trials[3:]}


def test_people_who_fail_catch_trials_are_left_out_and_their_seat_opens_again():
    study = full(min_catch_share="0.9", min_median_rt_ms=500)
    good = careful(Person(study).start())
    bad = Person(study).start().finish("tie")

    (left_out,) = exclusion.apply(study)

    assert left_out == bad.row
    assert bad.row.state == "excluded"
    assert bad.row.why.startswith("0 of 2 catch trials right")
    assert good.row.state == "finished"
    assert Seat.objects.filter(holder=None).count() == 3
    assert bad.client.get(bad.home, follow=True).status_code == 410
    assert exclusion.apply(study) == []


def test_people_who_answer_too_fast_or_miss_pictures_are_left_out():
    study = full(min_median_rt_ms=500, max_missing_images=3)
    slow, fast, unlucky = (Person(study).start() for _ in range(3))
    for person, said in (
        (slow, {"rt_ms": "900"}), (fast, {"rt_ms": "200"}), (unlucky, {"rt_ms": "900", "image_errors": "1"})
    ):  # fmt: skip
        while 'id="trial"' in person.html:
            person.vote("left", **said)

    why = {person.pk: person.why for person in exclusion.apply(study)}

    assert set(why) == {fast.row.pk, unlucky.row.pk}
    assert why[fast.row.pk] == "median response time 200 ms < 500 ms"
    assert why[unlucky.row.pk] == "11 pictures did not arrive > 3"


def test_a_rule_about_what_nobody_has_leaves_nobody_out():
    study = full(min_median_rt_ms=500)
    Person(study).start().finish()

    assert exclusion.apply(study) == []


def test_catch_trials_without_spare_pairs_are_refused_with_what_to_do():
    study = draft(3, catches=1)

    with pytest.raises(protocol.NotPublishable, match="0 are left"):
        protocol.publish(study)


def test_a_preview_sits_on_a_seat_of_its_own_and_is_no_result():
    study = published(3, people=1, blind=False)
    (link,) = recruitment.make_links(study, 1, Mode.PREVIEW)

    person = Person(study, f"?link={link.token}").start().finish()

    assert person.row.mode == "preview"
    assert person.row.seat.mode == "preview"
    assert results.compute(study)["analysis"] is None
    assert b"".join(export.votes_csv(study)).count(b"\n") == 1
    assert Participant.objects.filter(mode="live").count() == 0


def test_repeats_are_left_out_of_the_figures_and_kept_in_the_file():
    study = published(experiment=experiment(4), repeats=2, people=1, blind=False)
    Person(study).start().finish()

    assert results.compute(study)["analysis"]["votes"]["main"] == 4
    assert b"".join(export.votes_csv(study)).count(b"repeat") == 2


def test_a_label_stands_in_the_file_with_its_name():
    study = published(experiment=experiment(3, labels=3), people=1, blind=False)
    Person(study).start().finish()

    rows = list(csv.DictReader(io.StringIO(b"".join(export.votes_csv(study)).decode())))

    # The model has names for 0 and 1 only.
    assert {row["label"]: row["label_name"] for row in rows} == {"0": "daisy", "1": "tulip", "2": ""}
