"""The methods section says what was done, of whatever design, and no preference."""

import re

import pytest

from studies import exclusion, latest, methods, protocol, recruitment, results, running
from studies.models import Mode, Participant, Study
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def voted(study: Study, people: int = 2, choice: str = "left") -> Study:
    for _ in range(people):
        Person(study).start().finish(choice)
    study.refresh_from_db()
    return study


def said(study: Study) -> str:
    """The section with plain spaces."""
    return re.sub(r"[\u2009\s]+", " ", methods.text(study, results.compute(study)))


def paragraph(study: Study, name: str) -> str:
    text = re.sub(r"[\u2009 ]+", " ", methods.text(study, results.compute(study)))
    return next(part for part in text.split("\n\n") if part.startswith(f"{name}. "))


def test_it_works():
    study = voted(
        running.change_state(voted(published(4, people=3, blind=True)), Study.State.CLOSED), people=0
    )

    text = said(study)

    for words in (
        "Stimuli. Pictures were made by flowers",
        "with 20 denoising steps",
        "baseline (sampler baseline); se2p (sampler se2p)",
        "The question was “Which picture looks better?”; people chose the left or the right picture or "
        "said that they had no preference. Each person judged 4 trials with 4 pairs.",
        "Pairs were assigned in balance",
        "People were recruited by an open link; 3 were planned.",
        "2 people consented: 2 finished.",
        "No rule to leave people out was frozen, and nobody was left out.",
        f"(SHA-256 {study.protocols.get().sha256})",
        "Preferences were hidden from the researchers until the study was closed.",
        "people who left before the end included: 2 people, 4 items, 8 votes.",
        "items like these: standard errors are clustered by person and by item",
        "adjusted by Holm's method over 1 comparison.",
        "the 90 % interval lies within 45 % to 55 %",
        "The primary comparison was se2p against baseline by flowers",
        "evalsite 0.1.0",
    ):
        assert words in text
    for absent in ("practice", "catch", "Bradley-Terry", "trend", "Automatic metrics", "confidence sequence",
                   "Version 2", "None", "still"):  # fmt: skip
        assert absent not in text


def test_seeds_that_classes_share_are_named():
    study = published(people=2, blind=False, experiment=experiment(4, labels=2, shared=True))

    assert "clustered by person and by class, and by seed where these share one (Cameron" in said(
        voted(study)
    )


def test_it_tells_nothing_of_what_people_preferred():
    left, right = (
        said(voted(published(3, people=2, blind=False), choice=choice)) for choice in ("left", "right")
    )

    def neutral(text: str) -> str:
        return re.sub(r"[0-9a-f]{64}|flowers \d+|experiment \d+", "", text)

    assert neutral(left) == neutral(right)


def test_a_forced_choice_of_the_same_pairs_with_all_kinds_of_trials():
    study = published(
        8,
        people=2,
        comparisons=3,
        assignment="same",
        ties=False,
        practice=1,
        catches=2,
        repeats=1,
        blind=False,
    )

    text = paragraph(voted(study, people=1), "Design")

    assert "people chose the left or the right picture, one of the two." in text
    assert "Each person judged 7 trials with 3 pairs. Everybody judged the same pairs." in text
    assert (
        "1 practice trial with feedback, 2 catch trials with one picture spoilt and 1 repeated trial with "
        "sides swapped, none of which counts as a main trial"
    ) in text


def test_several_conditions_steps_and_questions():
    made = experiment(6, steps=(10, 20), treatments=("se2p", "naive"), labels=2)
    study = published(
        experiment=made, people=2, comparisons=3, blind=False, questions=("Better?", "Sharper?")
    )
    voted(study, choice="tie")

    text = said(study)

    assert "with 10 and 20 denoising steps. Both pictures of a pair had one seed and one class label" in text
    assert "se2p against baseline" in text and "naive against baseline" in text
    assert "each in a pass of its own, were “Better?” and “Sharper?”" in text
    assert "with 3 pairs of each comparison." in text
    assert "ranked by the Bradley-Terry model" in text
    assert "The trend over steps is a logistic regression" in text
    assert "10 steps, for “Better?”" in text


def test_the_frozen_rules_and_whom_they_left_out():
    study = published(
        6, people=3, comparisons=2, catches=2, min_catch_share="0.75", max_missing_images=5, blind=False
    )
    for choice in ("left", "tie"):
        Person(study).start().finish(choice)

    left_out = exclusion.apply(study)

    assert len(left_out) == 2
    # Both break the rule, so no vote counts any more.
    assert said(study).startswith("Nothing to report yet")
    Participant.objects.filter(pk=left_out[0].pk).update(state="finished", why="")
    text = paragraph(study, "Participants")
    assert (
        "The rules frozen with the protocol leave out people with less than 75.0 % of the catch trials right "
        "or more than 5 pictures that did not arrive; 1 person with 2 main votes was left out by them."
    ) in text
    assert "2 people consented: 1 finished and 1 left out by rule." in text


def test_what_became_of_everybody_is_counted():
    study = published(2, people=4, blind=False)
    states = ("active", "expired", "finished", "withdrawn")
    for state in states:
        person = Person(study).start()
        person.vote()
        if state == "finished":
            person.finish()
        elif state == "withdrawn":
            from studies import enrolment

            enrolment.withdraw(person.row)
        elif state == "expired":
            Participant.objects.filter(pk=person.row.pk).update(state=state)

    text = paragraph(study, "Participants")

    assert (
        "4 people consented: 1 finished, 1 under way, 1 gave up and 1 took their answers back, "
        "which were erased."
    ) in text
    assert "The study was still live when this was written" in text


@pytest.mark.parametrize(
    ("fields", "look", "words"),
    [
        ({"blind": True}, True, "when they were shown before the end of the study (“a referee asked”)"),
        ({"blind": False}, False, "The researchers could see preferences while votes came in"),
    ],
)
def test_looks_before_the_end_are_told(fields, look, words):
    study = voted(published(3, people=2, **fields))
    if look:
        study = running.unblind(study, None, "a referee asked")

    text = paragraph(study, "Blinding")

    assert words in text
    assert "a confidence sequence" in text


def test_versions_are_told_with_what_they_changed_and_who_voted_under_which():
    study = voted(published(4, people=3, blind=False), people=1)
    study = running.change_state(study, Study.State.PAUSED)
    study.margin, study.repeats, study.min_median_rt_ms = "0.10", 1, 300
    study.save()
    study.questions.update(text="Sharper?")
    protocol.publish(study)
    study.refresh_from_db()
    voted(study, people=1)

    text = said(study)

    first, second = study.protocols.order_by("version")
    assert (
        f"(SHA-256 {second.sha256}); it changed texts (consent, questions), design (repeats) and "
        "analysis (margin, exclusion)." in text
    )
    assert first.sha256 in text
    assert (
        "Design, as in version 2. Under version 1: the question was “Which picture looks better?”; under "
        "version 2: the question was “Sharper?”; people chose"
    ) in text
    assert "1 person under version 1 and 1 person under version 2, which are taken together" in text
    assert "give or take one, under each version." in text
    assert "nobody under version 1; under version 2 people with a median response time below 300 ms" in text
    assert "within 40 % to 60 %" in text


def test_a_version_that_changed_nothing_says_so():
    study = running.change_state(voted(published(2, people=2, blind=False), people=1), Study.State.PAUSED)
    protocol.publish(study)

    assert "it changed nothing but the seats' seed" in said(study)


def test_a_draft_and_a_pilot_have_no_methods_yet():
    assert said(draft(2, blind=False)) == "Nothing was done yet: the study is a draft."
    study = published(2, people=1, blind=False)
    (link,) = recruitment.make_links(study, 1, Mode.PILOT)
    Person(study, f"?link={link.token}").start().finish()
    assert said(study).startswith("Nothing to report yet")


def test_many_comparisons_are_counted_and_not_listed():
    made = experiment(2, steps=tuple(range(10, 23)))
    study = voted(published(experiment=made, people=1, blind=False), people=1)

    assert "There were 13 comparisons with 26 pairs in all." in paragraph(study, "Stimuli")


def test_the_results_page_has_it_ready_to_copy(admin_client):
    study = voted(published(2, people=2, blind=False))

    page = admin_client.get(f"/admin/studies/study/{study.pk}/results/").content.decode()

    assert latest.of(study).methods.split("\n\n")[0].split(";")[0][:40] in page
    assert 'data-copies="methods-text"' in page


def test_while_preferences_are_hidden_the_page_has_no_methods(admin_client):
    study = voted(published(2, people=2))

    page = admin_client.get(f"/admin/studies/study/{study.pk}/results/").content.decode()

    assert "Methods, ready to paste" not in page
