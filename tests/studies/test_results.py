"""The figures of a study equal those of the statistics on its votes, and hide while it runs blind."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from generation.models import Pair, Score
from studies import export, protocol, recruitment, results
from studies.models import Mode, Participant, Study, Vote
from studies.statistics import table
from studies.statistics.analysis import analyze
from studies.statistics.decisions import holm
from studies.statistics.intervals import preference
from studies.statistics.options import Options
from tests.studies.factories import Person, draft, experiment, published
from tests.studies.statistics.alike import alike

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


def analysed(study: Study) -> dict:
    """The analysis of the primary set, and of its first block."""
    return results.compute(study)["analysis"]


def first(study: Study) -> dict:
    return next(iter(analysed(study)["blocks"].values()))


def test_the_share_and_interval_are_those_of_the_statistics_on_the_exported_votes():
    study = voted(published(5, people=4, blind=False))

    found = first(study)["preference"]["se2p"]

    exported = rows(study)
    y = [0.5 if row["choice"] == "tie" else float(row[row["choice"]] == "se2p") for row in exported]
    expected = preference(y, [r["participant"] for r in exported], [r["item"] for r in exported])
    assert (found["share"], found["low"], found["high"], found["p"]) == pytest.approx(
        (expected.share, expected.low, expected.high, expected.p), abs=1e-12
    )
    assert (found["n_votes"], found["n_participants"], found["n_items"]) == (20, 4, 5)


def test_the_page_and_analyze_on_the_votes_file_give_the_same_figures():
    made = experiment(6, steps=(10, 20), treatments=("se2p", "naive"), labels=3)
    study = voted(published(experiment=made, people=4, comparisons=5, repeats=1, blind=False))
    exclude(Participant.objects.order_by("pk")[1])

    shown = analysed(study)

    votes = table.read(b"".join(export.votes_csv(study)))
    options = Options(
        excluded={name: ["by hand"] for name in votes.people("excluded")},
        completed=votes.people("finished"),
        planned_people=4,
        units=dict.fromkeys(shown["blocks"], "class"),
    )
    expected = analyze(votes, options)
    assert len(shown["blocks"]) == 2
    assert all(block["bradley_terry"]["names"] == ["baseline", "naive", "se2p"]
               for block in shown["blocks"].values())  # fmt: skip
    assert alike(shown, expected)


def test_all_kinds_of_trials_and_several_questions_give_the_figures_of_the_votes_file():
    study = voted(
        published(
            experiment=experiment(9), people=4, comparisons=4, practice=1, catches=2, repeats=1, blind=False,
            questions=("Better?", "Sharper, or not?"),
        )
    )  # fmt: skip

    shown = analysed(study)

    votes = table.read(b"".join(export.votes_csv(study)))
    blocks = dict.fromkeys(shown["blocks"], "item")
    options = Options(completed=votes.people("finished"), planned_people=4, units=blocks)
    assert shown["votes"]["catch"] == 8
    assert len(blocks) == 2
    assert alike(shown, analyze(votes, options))


def exclude(person: Participant) -> None:
    Participant.objects.filter(pk=person.pk).update(state="excluded", why="by hand")


def test_items_that_share_a_class_are_clustered_by_class():
    study = voted(published(experiment=experiment(6, labels=2), people=3, blind=False))

    found = first(study)

    assert (found["cluster_unit"], found["n_clusters"], found["n_items"]) == ("class", 2, 6)
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
    exclude(someone)

    found = first(study)["preference"]["se2p"]
    assert found["n_participants"] == 2
    assert found["beside"]["without_exclusions"]["n_participants"] == 3
    assert analysed(study)["excluded_participants"] == {someone.pseudonym: ["by hand"]}
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


def test_votes_count_for_the_condition_on_the_side_that_was_chosen():
    study = published(6, people=2, blind=False)
    for _ in range(2):
        person = Person(study).start()
        while 'id="trial"' in person.html:
            trial = person.row.trials.get(position=person.row.votes_count)
            person.vote("left" if trial.left == "treatment" else "right")

    assert first(study)["preference"]["se2p"]["share"] == 1


def test_holms_p_is_taken_over_all_blocks():
    study = voted(published(experiment=experiment(3, steps=(10, 20)), people=3, blind=False))

    found = [block["preference"]["se2p"] for block in analysed(study)["blocks"].values()]

    assert len(found) == 2
    assert [p["holm_p"] for p in found] == holm([p["p"] for p in found])


def test_blocks_of_one_model_at_several_steps_have_a_trend():
    study = voted(published(experiment=experiment(4, steps=(10, 20)), people=4, blind=False))

    (line,) = analysed(study)["trend"]

    assert [point["steps"] for point in line["points"]] == [10, 20]
    assert line["beta"] is not None or line["reason"]


def test_each_question_is_analysed_apart_also_before_the_last_was_asked():
    study = published(3, people=2, blind=False, questions=("Better?", "Sharper?"))
    person = Person(study).start()
    for _ in range(3):
        person.vote("left")

    found = results.compute(study)

    assert [place["question"] for place in found["places"]] == ["Better?", "Sharper?"]
    assert list(found["analysis"]["blocks"]) == [found["places"][0]["name"]]


def test_the_baseline_of_a_study_is_its_own_and_not_a_name():
    made = experiment(4)
    made.conditions.filter(name="baseline").update(name="zero")
    study = voted(published(experiment=made, people=3, blind=False))

    assert first(study)["baseline"] == "zero"
    assert list(first(study)["preference"]) == ["se2p"]


def test_pilot_votes_stand_beside_and_alone_before_the_first_live_vote():
    study = published(3, people=2, blind=False)
    for link in recruitment.make_links(study, 2, Mode.PILOT):
        Person(study, f"?link={link.token}").start().finish()

    alone = results.compute(study)
    voted(study)
    both = results.compute(study)

    assert (alone["mode"], alone["analysis"]["votes"]["main"]) == ("pilot", 6)
    assert (both["mode"], both["analysis"]["votes"]["main"]) == ("live", 6)
    assert first(study)["preference"]["se2p"]["beside"]["pilots"]["n_votes"] == 6


def test_who_leaves_is_counted_at_the_trial_and_side_where_they_left():
    study = published(4, people=3, blind=False)
    whole, half, under_way = (Person(study).start() for _ in range(3))
    whole.finish()
    half.vote()
    side = half.row.trials.get(position=1).left
    Participant.objects.filter(pk=half.row.pk).update(state="expired")
    under_way.vote()

    found = results.compute(study)["dropout"]

    assert (found["people"], found["left"]) == (3, 1)
    assert [(t["reached"], t["left"]) for t in found["trials"]] == [(3, 0), (3, 1), (1, 0), (1, 0)]
    assert found["trials"][-1]["remaining"] == pytest.approx(2 / 3)
    assert found["sides"]["left" if side == "treatment" else "right"]["left"] == 1
    assert sum(side["left"] for side in found["sides"].values()) == 1


def test_of_those_under_way_when_a_study_closes_only_those_have_left_whose_time_was_over():
    study = published(4, people=3, blind=False)
    long_ago, just_now = (Person(study).start() for _ in range(2))
    long_ago.vote()
    just_now.vote()
    Participant.objects.filter(pk=long_ago.row.pk).update(expires_at=timezone.now() - timedelta(hours=1))

    before = results.compute(study)["dropout"]["left"]
    closed = protocol.change_state(study, Study.State.CLOSED)
    after = results.compute(closed)["dropout"]

    assert (before, after["left"]) == (0, 1)
    assert [(t["reached"], t["left"]) for t in after["trials"]] == [(2, 0), (2, 1)]


def test_looks_before_the_end_bring_the_confidence_sequence():
    study = voted(published(3, people=2))

    for unblinded, there in ((False, False), (True, True)):
        if unblinded:
            study = protocol.unblind(study, None, "curious")
        found = first(study)["preference"]["se2p"]
        assert ("confidence_sequence" in found) is there


def test_without_votes_there_is_a_reason_and_no_analysis():
    found = results.compute(published(2, blind=False))

    assert (found["analysis"], found["reason"]) == (None, "nobody has voted yet")


def test_when_everybody_is_excluded_it_says_so():
    study = voted(published(2, people=2, blind=False))
    for person in Participant.objects.all():
        exclude(person)

    found = results.compute(study)

    assert found["analysis"] is None
    assert "the rules leave nobody" in found["reason"]


def test_text_that_a_spreadsheet_would_run_changes_no_name():
    study = draft(3, people=2, blind=False, questions=("=1+1", "Better?"))
    protocol.publish(study)
    study.refresh_from_db()

    assert any(name.endswith(" / =1+1") for name in analysed(voted(study))["blocks"])


class TestMetrics:
    @pytest.fixture
    def study(self):
        """Brightness is better where people say so; the treatment is brighter in items 0 to 3 of 5."""
        study = published(5, people=4, blind=False)
        for pair in Pair.objects.all():
            brighter = pair.item.position < 4
            Score.objects.create(image=pair.baseline, metric="brightness", version="1", value=0.5)
            value = 0.6 + 0.01 * pair.item.position if brighter else 0.4
            Score.objects.create(image=pair.treatment, metric="brightness", version="1", value=value)
            Score.objects.create(image=pair.treatment, metric="clipped", version="1", value=0.1)
            Score.objects.create(pair=pair, metric="drift", version="2", value=0.9)
        for _ in range(4):
            person = Person(study).start()
            while 'id="trial"' in person.html:
                trial = person.row.trials.get(position=person.row.votes_count)
                wanted = "treatment" if trial.pair.item.position < 4 else "baseline"
                person.vote("left" if trial.left == wanted else "right")
        return study

    def test_a_metric_that_sees_what_people_see_agrees_with_every_vote(self, study):
        (found,) = results.compute(study)["metrics"]

        brightness = found["metrics"]["brightness"]
        assert brightness["agreement"]["share"] == brightness["ceiling"]["share"] == 1
        assert brightness["difference"]["mean"] == pytest.approx((0.10 + 0.11 + 0.12 + 0.13 - 0.1) / 5)
        assert brightness["difference"]["n_pairs"] == 5
        assert brightness["tau"]["value"] > 0.5
        assert found["pairs"]["drift"]["mean"] == pytest.approx(0.9)

    def test_a_metric_of_one_side_only_is_not_compared(self, study):
        (found,) = results.compute(study)["metrics"]

        assert "clipped" not in found["metrics"]

    def test_a_value_that_is_no_score_is_left_out(self, study):
        Score.objects.filter(image__item__position=0).update(value=1e308)

        (found,) = results.compute(study)["metrics"]

        assert found["metrics"]["brightness"]["difference"]["n_pairs"] == 4

    def test_only_the_version_that_most_pictures_have_counts(self, study):
        for pair in Pair.objects.all()[:2]:
            Score.objects.create(image=pair.treatment, metric="brightness", version="2", value=9.0)
            Score.objects.create(image=pair.baseline, metric="brightness", version="2", value=0.0)

        (found,) = results.compute(study)["metrics"]

        assert found["metrics"]["brightness"]["difference"]["mean"] < 1
