"""What figures say in words."""

import pytest

from studies import wording

ALL = {"verdict": None, "n_items": 6, "n_clusters": 6, "n_seeds": 0, "n_participants": 1, "n_votes": 1234}


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("equivalent", "Equivalent: the 90\u2009% interval lies within 45\u2009% to 55\u2009%."),
        ("better", "People prefer se2p to baseline (Holm's p below .05)."),
        ("worse", "People prefer baseline to se2p (Holm's p below .05)."),
        ("undecided", "Undecided: the votes show neither a preference nor that there is none."),
        (None, "No verdict: there is no interval."),
    ],
)
def test_the_verdict_is_said_in_words(verdict, sentence):
    assert wording.verdict({"verdict": verdict}, "se2p", "baseline", 0.05) == sentence


def test_numbers_have_their_nouns():
    assert wording.rests_on(ALL, "class") == "1 person, 6 items, 1\u2009234 votes"
    assert (
        wording.rests_on(ALL | {"n_clusters": 2}, "class")
        == "1 person, 6 items in 2 classes, 1\u2009234 votes"
    )
    assert (
        wording.rests_on(ALL | {"n_clusters": 2, "n_seeds": 3}, "class")
        == "1 person, 6 items in 2 classes of 3 seeds, 1\u2009234 votes"
    )


def test_what_errors_are_clustered_by_is_said():
    block = {"cluster_unit": "prompt", "n_seeds": 0}

    assert wording.ways(block) == "person and prompt"
    assert wording.ways(block | {"n_seeds": 4}) == "person, prompt and seed"


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], ""),
        ([1], ""),
        ([1, 2], "The votes of protocol versions 1 and 2 are taken together."),
        ([1, 2, 4], "The votes of protocol versions 1, 2 and 4 are taken together."),
    ],
)
def test_protocol_versions_are_never_mixed_unsaid(numbers, said):
    assert wording.versions(numbers) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"delta": 0.5, "se": 0.1}, "people had a bias to the left"),
        ({"delta": -0.5, "se": 0.1}, "people had a bias to the right"),
        ({"delta": 0.1, "se": 0.1}, "no side bias is seen"),
        ({"delta": None, "se": None, "reason": "no votes"}, "Not known: no votes."),
        ({"delta": 0.1, "se": None, "reason": "one person"}, "no standard error: one person."),
    ],
)
def test_a_side_bias_is_said_with_its_interval(found, said):
    assert said in wording.side_bias(found)


def test_a_missing_agreement_has_its_own_reason():
    block = {
        "alpha": None,
        "repeats_agreement": None,
        "reason": "alpha: no item; repeats_agreement: no pairs",
    }

    assert wording.agreement(block) == "Krippendorff's α not known: no item; repeated pairs: no pairs."


def test_a_p_is_never_zero():
    assert [wording.p(value) for value in (None, 0.0, 0.03456, 1.0)] == ["–", "< 0.0001", "0.0346", "1.0000"]
