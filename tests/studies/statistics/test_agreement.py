import krippendorff
import numpy as np
import pytest
from scipy import stats

from studies.statistics.agreement import catch_trials, krippendorff_alpha, leave_one_out


def test_krippendorffs_binary_example():
    first, second = ([int(c) for c in row] for row in ("0100000010", "1110010000"))
    unit, value = np.tile(np.arange(10), 2), np.array(first + second)

    assert krippendorff_alpha(unit, value)[0] == pytest.approx(0.095238, abs=1e-6)


def test_alpha_agrees_with_the_library_on_incomplete_data():
    rng = np.random.default_rng(1)
    for _ in range(20):
        unit, value = rng.integers(0, 15, 60), rng.integers(0, 3, 60)
        counts = np.zeros((15, 3))
        np.add.at(counts, (unit, value), 1)
        other = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
        assert krippendorff_alpha(unit, value)[0] == pytest.approx(other)


def test_alpha_of_votes_at_random_is_near_zero_even_for_many_pairs_of_conditions():
    rng = np.random.default_rng(2)
    stratum = rng.integers(0, 6, 20_000)
    unit, value = stratum * 500 + rng.integers(0, 500, 20_000), stratum * 2 + rng.integers(0, 2, 20_000)

    assert krippendorff_alpha(unit, value, stratum)[0] == pytest.approx(0, abs=0.02)
    assert krippendorff_alpha(unit, value)[0] > 0.4  # what the pairs alone would feign


def test_alpha_is_one_when_people_agree():
    assert krippendorff_alpha(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))[0] == 1


@pytest.mark.parametrize(
    ("unit", "value", "reason"),
    [
        ([], [], "no votes"),
        ([0, 1, 2], [0, 1, 0], "judged by two"),
        ([0, 0, 1, 1], [2, 2, 2, 2], "all votes are the same"),
    ],
)
def test_alpha_that_does_not_exist_has_a_reason(unit, value, reason):
    alpha, why = krippendorff_alpha(np.array(unit, int), np.array(value, int))

    assert alpha is None
    assert reason in why


def test_seven_of_eight_catch_trials():
    found = catch_trials(7, 8)

    assert found.random_two_way == pytest.approx(0.035, abs=5e-4)
    assert found.random_three_way == pytest.approx(0.003, abs=5e-4)
    assert found.one_sided == 0
    assert found.careful == pytest.approx(0.943, abs=5e-4)
    assert not found.suspicious


def test_five_of_eight_is_suspicious_and_six_is_not():
    assert catch_trials(5, 8).suspicious
    assert not catch_trials(6, 8).suspicious
    assert not catch_trials(0, 0).suspicious


def test_more_right_than_there_are_is_refused():
    with pytest.raises(ValueError, match="9 right of 8"):
        catch_trials(9, 8)


def test_leave_one_out_by_hand():
    unit, value, person = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1])
    found = leave_one_out(unit, value, person, 4)

    assert found[0] == pytest.approx((np.log(1.5 / 3) + np.log(1.5 / 2)) / 2)
    assert found[2] == pytest.approx(np.log(0.5 / 3))
    assert np.isnan(found[3])


def test_a_person_does_not_vouch_for_themselves_by_voting_twice():
    once = leave_one_out(np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), 2)
    twice = leave_one_out(np.array([0, 0, 0]), np.array([0, 0, 1]), np.array([0, 0, 1]), 2)

    assert twice[0] == pytest.approx(once[0])


def test_who_answers_at_random_is_less_likely_than_who_agrees():
    rng = np.random.default_rng(3)
    person, unit = (axis.ravel() for axis in np.indices((20, 50)))
    value = np.where((person == 0) | (rng.random(1000) < 0.1), rng.integers(0, 2, 1000), unit % 2)
    found = leave_one_out(unit, value, person, 20)

    assert found.argmin() == 0
    assert stats.zscore(found)[0] < -3
