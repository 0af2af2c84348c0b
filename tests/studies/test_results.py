"""The figures of a study equal those of the statistics on its votes, and hide while it runs blind."""

import csv
import io

import numpy as np
import pytest

from studies import export, protocol, results
from studies.models import Participant, Study, Vote
from studies.statistics import table
from studies.statistics.decisions import holm
from studies.statistics.intervals import preference
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def voted(study: Study) -> Study:
    """People who choose left, right and no preference in turn."""
    for number in range(study.people):
        person = Person(study).start()
        for step in range(50):
            if 'id="trial"' not in person.html:
                break
            person.vote(("left", "right", "tie")[(number + step) % 3])
    return study


def rows(study: Study) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(export.votes_csv(study)).decode())))


def test_the_share_and_interval_are_those_of_the_statistics_on_the_exported_votes():
    study = voted(published(5, people=4, blind=False))

    found = results.results(study)[0].preference

    exported = rows(study)
    y = [0.5 if row["choice"] == "tie" else float(row[row["choice"]] == "se2p") for row in exported]
    expected = preference(y, [r["participant"] for r in exported], [r["item"] for r in exported])
    assert (found.share, found.low, found.high, found.p) == pytest.approx(
        (expected.share, expected.low, expected.high, expected.p), abs=1e-12
    )
    assert (found.n_votes, found.n_people, found.n_items) == (20, 4, 5)


def test_items_that_share_a_class_are_clustered_by_class():
    study = voted(published(experiment=experiment(6, labels=2), people=3, blind=False))

    found = results.results(study)[0].preference

    assert (found.unit, found.n_clusters, found.n_items) == ("class", 2, 6)
    assert len({row["cluster"] for row in rows(study)}) == 2


def test_the_votes_file_begins_with_the_five_columns_and_can_be_analysed():
    study = voted(published(4, people=3, blind=False))

    content = b"".join(export.votes_csv(study))

    assert content.startswith(b"participant,item,left,right,choice,")
    assert len(table.read(content)) == 12


def test_a_side_in_the_file_is_the_side_on_which_the_condition_stood():
    study = voted(published(4, people=3, blind=False))

    trials = {
        (v.participant.pseudonym, v.sequence): (v.trial.left, v.trial.right)
        for v in Vote.objects.select_related("trial", "participant")
    }

    names = {"baseline": "baseline", "treatment": "se2p"}
    for row in rows(study):
        left, right = trials[row["participant"], int(row["sequence"])]
        assert (row["left"], row["right"]) == (names[left], names[right])


def test_people_excluded_by_a_rule_are_left_out_of_the_figures_and_stay_in_the_file():
    study = voted(published(4, people=3, blind=False))
    someone = Participant.objects.first()
    Participant.objects.filter(pk=someone.pk).update(state="excluded")

    assert results.results(study)[0].preference.n_people == 2
    assert {row["state"] for row in rows(study)} == {"finished", "excluded"}


def test_a_blind_study_hands_out_no_votes_until_it_is_closed():
    study = voted(published(3, people=1))

    with pytest.raises(export.Blind):
        export.votes_csv(study)

    assert len(rows(protocol.change_state(study, Study.State.CLOSED))) == 3


def test_unblinding_is_logged_once(django_user_model):
    study = published(3)
    researcher = django_user_model.objects.create_user("r")

    for _ in range(2):
        study = protocol.unblind(study, researcher, "a look at the pilot")

    entry = study.audit.get(action="unblinded")
    assert (entry.actor, entry.detail) == (researcher, {"why": "a look at the pilot"})
    assert not study.hides_preferences


def test_cells_that_a_spreadsheet_would_run_are_made_harmless_and_numbers_are_not():
    study = draft(3, people=1, blind=False, questions=("=1+1",))
    protocol.publish(study)
    study.refresh_from_db()
    voted(study)

    row = rows(study)[0]

    assert row["question"] == "'=1+1"
    assert row["steps"] == "20"


def test_bots_and_previews_are_not_people():
    study = voted(published(3, people=2, blind=False))
    Participant.objects.filter(pk=Participant.objects.first().pk).update(mode="bot")
    before = len(rows(study))

    assert before == 6  # votes carry their mode themselves
    assert results.counts(study).finished == 1


def test_outcomes_follow_the_side_of_the_treatment():
    found = results.outcomes(
        ["treatment", "baseline", "treatment", "baseline"], ["left", "left", "right", "tie"]
    )

    assert np.array_equal(found, [1, 0, 0, 0.5])


def test_holms_p_is_taken_over_all_blocks():
    study = voted(published(experiment=experiment(3, steps=(10, 20)), people=3, blind=False))

    found = results.results(study)

    assert [result.holm_p for result in found] == holm([result.preference.p for result in found])
    assert [result.these_items.estimand for result in found] == ["items", "items"]


@pytest.mark.parametrize(
    ("share", "margin", "sentence"),
    [
        (0.9, 0.05, "People prefer se2p to baseline (Holm's p below .05)."),
        (0.1, 0.05, "People prefer baseline to se2p (Holm's p below .05)."),
        (0.5, 0.05, "Undecided: the votes show neither a preference nor that there is none."),
        (0.5, 0.45, "Equivalent: the 90 % interval lies within 5\u2009% to 95\u2009%."),
    ],
)
def test_the_verdict_is_said_in_words_by_the_frozen_margin(share, margin, sentence):
    study = published(2)
    y = np.random.default_rng(0).random(400) < share
    person, item = np.divmod(np.arange(400), 20)
    found = preference(y.astype(float), person, item)
    block, question = study.blocks.get(), study.questions.get()

    result = results.Result(block, question, found, found, 0, 0, 0, (1,), margin).judged(found.p)

    assert result.sentence == sentence


def test_without_votes_there_is_no_verdict():
    (result,) = results.results(published(2, blind=False))

    assert (result.verdict, result.sentence) == (None, "No verdict: there is no interval.")
