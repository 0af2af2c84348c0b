"""What an experiment's scores say, in words: digits that the interval bears, and no claim of equality."""

import pytest

from studies import experiments_wording as wording


def mean(value, low=None, high=None, n=200, clusters=200):
    return {"mean": value, "low": low, "high": high, "n_items": n, "n_clusters": clusters}


def metric(difference, *, better="none", holm_p=0.001):
    return {"difference": difference, "better": better, "holm_p": holm_p}


def comparison(*, steps=20, n_pairs=40, n_same=0, **metrics):
    known = {"treatment": "se2p", "baseline": "baseline", "steps": steps, "unit": "class"}
    return known | {"n_pairs": n_pairs, "n_same": n_same, "metrics": metrics}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (mean(0.0123, 0.0101, 0.0141), "+0.0123 (0.0101 to 0.0141)"),
        (mean(0.012, -0.01, 0.034), "+0.012 (-0.010 to 0.034)"),
        (mean(7.04, 4.91, 9.12), "+7.0 (4.9 to 9.1)"),
        (mean(-1234.0, -1400.0, -1068.0), "-1234 (-1400 to -1068)"),
        (mean(0.00001, -0.02, 0.02), "0.000 (-0.020 to 0.020)"),
        (mean(0.5), "+0.500"),
        (mean(None), "–"),
    ],
)
def test_a_mean_has_the_digits_that_its_interval_bears(found, words):
    assert wording.amount(found) == words


def test_a_difference_is_a_sentence_with_its_items():
    said = wording.comparison(comparison(sharpness=metric(mean(0.0123, 0.0101, 0.0141))))

    assert said == [
        "se2p's pictures have higher sharpness than the baseline's at N = 20: +0.0123 (0.0101 to 0.0141), "
        "Holm's p 0.0010, 200 items."
    ]


def test_a_direction_says_whether_it_is_better():
    lower = metric(mean(-0.1, -0.2, -0.05, clusters=5), better="lower")

    (said,) = wording.comparison(comparison(clipped=lower))
    assert "lower (better) clipped" in said
    assert "200 items in 5 classes" in said


def test_the_same_pictures_are_said_to_be_the_same():
    same = metric(mean(0.0), holm_p=None)
    whole, some, none = (
        comparison(steps=n, n_same=k, sharpness=same) for n, k in ((10, 40), (20, 3), (50, 0))
    )

    assert wording.comparison(whole) == [
        "se2p and the baseline gave the same file, to the byte, in all pairs at N = 10."
    ]
    assert wording.comparison(some)[1:] == [
        "se2p and the baseline gave the same file, to the byte, in 3 of 40 pairs at N = 20."
    ]
    assert len(wording.comparison(none)) == 1
    assert wording.same_pictures([whole, some, none]) == [
        "se2p and the baseline gave the same file, to the byte, in all pairs at N = 10; in 3 of 40 pairs at "
        "N = 20."
    ]


def test_a_comparison_of_nothing_says_so():
    assert wording.comparison(comparison(n_pairs=0)) == [
        "All pairs of se2p and the baseline at N = 20 are left out."
    ]


def test_no_difference_is_never_worded_as_equal():
    same = metric(mean(0.0, -0.1, 0.1), holm_p=0.9)

    (said,) = wording.comparison(comparison(sharpness=same, clipped=same))
    assert "No difference between se2p and the baseline is shown" in said
    assert "sharpness and clipped" in said
    assert "no proof of none" in said


def swept(*gains):
    def at(steps, gain):
        best = {"value": 1.35} | mean(gain, gain - 0.1, gain + 0.1)
        return {"steps": steps, "best": best, "as_good": [1.0], "gains": [1.35] if gain > 0.1 else []}

    return {"better": "higher", "steps": [at(10 * (place + 1), gain) for place, gain in enumerate(gains)]}


def test_a_number_of_steps_without_scores_is_not_spoken_of():
    unknown = {"steps": 90, "best": None, "as_good": [], "gains": []}

    def said(*gains):
        shown = swept(*gains)
        shown["steps"].append(unknown)
        return wording.sweep({"parameter": "rho"}, "musiq", shown)

    assert said(1.0, 1.0).endswith(" Some ρ is better than the baseline at N = 10 and 20.")
    assert said(0.05).endswith(" No ρ is shown to be better than the baseline at N = 10.")


def test_what_has_no_direction_gains_nothing():
    def said(*gains):
        shown = swept(*gains) | {"better": "none"}
        return wording.sweep({"parameter": "rho"}, "contrast", shown)

    assert said(0.05, 0.05).endswith(" No ρ is shown to be above the baseline at any N.")
    assert " From N = 20 on none is shown to be above the baseline; the highest there is +0.05" in said(
        1.0, 0.05
    )
    assert " gain" not in said(1.0, 0.05) + said(0.05)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (
            swept(1.0, 1.0, 0.05, 0.05),
            "The gain ends at N = 30: no ρ is shown to be better than the baseline there, the best being",
        ),
        (swept(0.05, 0.05), "No ρ is shown to be better than the baseline at any N."),
        (swept(0.05), "No ρ is shown to be better than the baseline."),
        (swept(1.0, 1.0), "At every N some ρ is better than the baseline."),
        (
            swept(0.05, 1.0, 1.0, 0.05),
            "Some ρ is better than the baseline at N = 20 and 30; none is shown to be at N = 10 and 40.",
        ),
        (
            swept(1.0, 0.05, 1.0),
            "Some ρ is better than the baseline at N = 10 and 30; none is shown to be at N = 20.",
        ),
    ],
)
def test_where_a_gain_ends_is_said_with_its_interval(shown, words):
    said = wording.sweep({"parameter": "rho"}, "musiq", shown)

    assert words in said
    assert "not told from 1)" in said


def test_a_sweep_says_over_what_its_correction_goes():
    assert wording.family("ρ").startswith("Holm's correction goes over the values of ρ here")


def flagged(treatment, n, steps=20):
    any_ = {"n": n, "share": n / 200, "low": 0.0, "high": 0.5}
    return {
        "treatment": treatment,
        "baseline": "baseline",
        "model": "flowers",
        "steps": steps,
        "n_pairs": 200,
        "flags": {"any": any_, "blurred": any_},
    }


def test_both_ends_of_the_flags_are_named_with_what_is_alike_there():
    most, also, least = wording.most_and_least_flagged(
        [flagged("a", 40), flagged("b", 6), flagged("c", 40), flagged("d", 5)]
    )

    assert most.startswith("Most flagged (one of 2 alike): a at N = 20: 40 of 200 pairs flagged, 20.0")
    assert also.startswith("Most flagged (one of 2 alike): c at N = 20")
    assert least.startswith("Least flagged: d at N = 20: 5 of 200 pairs flagged")


def test_of_many_that_are_alike_the_number_is_said():
    said = wording.most_and_least_flagged([flagged("a", 2), *(flagged(f"b{i}", 0) for i in range(9))])

    assert said[1].replace("\u2009", " ") == "Least flagged: 9 comparisons, with 0.0 % of their pairs each."


def test_ends_that_are_the_same_are_said_once():
    (said,) = wording.most_and_least_flagged([flagged(name, 2) for name in "abc"])

    assert said.replace("\u2009", " ") == "All 3 comparisons have as many pairs flagged: 1.0 %."


def test_where_another_condition_stands_first_it_is_called_by_its_name():
    found = comparison(sharpness=metric(mean(0.0123, 0.0101, 0.0141))) | {
        "treatment": "baseline",
        "baseline": "se2p",
    }
    (said,) = wording.comparison(found)
    assert said.startswith("The baseline's pictures have higher sharpness than se2p's at N = 20")

    said = wording.sweep({"parameter": "rho"}, "musiq", swept(1.0, 1.0), "se2p")
    assert "best against se2p:" in said
    assert "some ρ is better than se2p." in said

    points = [{"treatment": "ddpm-2n", "steps": 20} | mean(0.9, 0.8, 1.0)]
    like, seeds = wording.drift({"points": points, "yardstick": points}, "se2p")
    assert like.startswith("ddpm-2n's pictures are like se2p's")
    assert seeds.startswith("Seeds of se2p")


def test_a_share_near_an_end_keeps_its_interval():
    assert wording.share({"share": 0.0, "low": 0.0, "high": 0.61}).replace("\u2009", " ") == "0.0 % (0 to 61)"


@pytest.mark.parametrize(
    ("words", "joined"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_listed(words, joined):
    assert wording.listed(words) == joined


UNIT = {"model": "Flowers", "items": 10, "unit": "class", "n_units": 5, "n_seeds": None}


def test_seeds_that_labels_share_are_said_to_count():
    own, shared = wording.units(UNIT), wording.units(UNIT | {"n_seeds": 2})

    assert "share" not in own
    assert "Classes share seeds (2 seeds in all), and so their noise" in shared
    assert wording.clustered(UNIT | {"n_seeds": 2}) == "clustered by class (5 classes) and by seed (2 seeds)"
    assert wording.clustered(UNIT) == "clustered by class (5 classes)"


def test_one_seed_of_each_class_is_no_unit_of_its_own_where_it_is_the_same_seed():
    of_each = UNIT | {"items": 5}

    assert wording.units(of_each).endswith("one seed of each class; each is a sampled unit of its own.")
    assert "of its own" not in wording.units(of_each | {"n_seeds": 1})
    assert wording.units(of_each | {"warning": "only 5 sampled units (class)"}).endswith(
        "Note: only 5 sampled units (class)."
    )
