"""The check before publication renders every kind of trial and finds what would tell the arms apart."""

import pytest

from studies import leaks, pages, protocol
from studies.models import Kind
from tests.studies.factories import draft, experiment

pytestmark = pytest.mark.django_db

KINDS = list(Kind)


def whole():
    """A draft with every kind of trial, two blocks and two questions."""
    made = experiment(8, treatments=("se2p", "naive"))
    return draft(
        experiment=made, comparisons=4, practice=1, catches=1, repeats=1, people=2,
        questions=("Which looks better?", "Which looks more real?"),
    )  # fmt: skip


def test_it_works():
    frozen = protocol.publish(whole())

    found = {finding["check"]: finding["says"] for finding in frozen.leaks}
    # Of two blocks and questions each: main 2, repeat 2, practice 4 and 8 pages after it, catch 4.
    assert found["page"] == "the same whichever arm stands left (80 pages)"
    assert found["order"].startswith("left before right")


def test_a_study_of_main_trials_only_is_checked_for_these_only():
    frozen = protocol.publish(draft(3))

    assert "(2 pages)" in {finding["check"]: finding["says"] for finding in frozen.leaks}["page"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_tells_the_arm_in_one_kind_of_trial_is_refused_with_its_name(kind, monkeypatch):
    honest = pages.trial_context

    def telling(slug, said, trial, following, last):
        context = honest(slug, said, trial, following, last)
        if trial.kind == kind and "treatment" in trial.left:
            context["number"] = 7
        return context

    monkeypatch.setattr(pages, "trial_context", telling)

    with pytest.raises(protocol.NotPublishable, match=rf"^page: .*{kind}, “Which looks better"):
        protocol.publish(whole())


def test_feedback_after_practice_that_tells_the_arm_is_refused(monkeypatch):
    honest = pages._feedback
    monkeypatch.setattr(
        pages,
        "_feedback",
        lambda last: honest(last) and f"right-{'left' if 'base' in last.left else 'right'}",
    )

    with pytest.raises(protocol.NotPublishable, match=r"^page: .*practice"):
        protocol.publish(whole())


def test_a_page_with_the_hash_of_a_picture_is_refused(monkeypatch):
    honest = pages.trial_context

    def telling(slug, said, trial, following, last):
        return honest(slug, said, trial, following, last) | {"preload": [trial.pair.treatment.sha256]}

    monkeypatch.setattr(pages, "trial_context", telling)

    with pytest.raises(protocol.NotPublishable, match=r"words in the page: .*the page holds"):
        protocol.publish(whole())


def test_loading_one_arm_first_is_refused(monkeypatch):
    honest = pages.sides

    def treatment_first(slug, trial):
        return honest(slug, trial)[:: -1 if trial.right == "treatment" else 1]

    monkeypatch.setattr(pages, "sides", treatment_first)

    with pytest.raises(protocol.NotPublishable, match="order: "):
        protocol.publish(whole())


def test_the_arms_change_places_within_each_group_and_nothing_else_does():
    for group in (*leaks.INTACT, *leaks.SPOILT):
        assert len(set(group)) == 2
        assert len({tuple(side.startswith("spoilt-") for side in sides) for sides in group}) == 1
