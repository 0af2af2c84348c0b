import pytest

from studies.statistics.exclusions import BadRules, Rules, broken, catch_results, from_toml
from studies.statistics.votes import from_columns

NAMES = ("participant", "item", "left", "right", "choice", "kind", "rt_ms")


def table(*rows):
    return from_columns({name: [row[i] for row in rows] for i, name in enumerate(NAMES)})


VOTES = table(
    ("ann", "1", "a", "b", "left", "main", 900),
    ("ann", "2", "a", "b", "left", "main", 1100),
    ("ann", "9", "a", "catch", "left", "catch", 100),
    ("bob", "1", "a", "b", "left", "main", 200),
    ("bob", "2", "a", "b", "left", "main", 240),
    ("bob", "3", "a", "b", "left", "main", None),
    ("bob", "9", "catch", "b", "right", "catch", 900),
    ("cleo", "1", "a", "b", "left", "main", 700),
    ("cleo", "8", "catch", "b", "tie", "catch", 900),
    ("cleo", "9", "a", "catch", "left", "catch", 900),
    ("dan", "1", "a", "b", "left", "main", None),
)


def names(found):
    return {VOTES.participant.names[code]: reasons for code, reasons in found.items()}


def test_rules_are_read():
    assert from_toml("min_median_rt_ms = 300\nmin_catch_share = 0.75") == Rules(300, 0.75)
    assert from_toml("# none") == Rules()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_agreement = 0.5", "no rule 'min_agreement'"),
        ("max_missing_images = 2", "max_missing_images can't be applied here"),
        ("min_catch_share = 1.5", "min_catch_share is 1.5"),
        ("min_catch_share = 'high'", "min_catch_share is 'high'"),
        ("min_median_rt_ms = -1", "min_median_rt_ms is -1"),
        ("min_median_rt_ms = nan", "min_median_rt_ms is nan"),
        ("min_median_rt_ms = true", "min_median_rt_ms is True"),
        ("min_median_rt_ms: 3", "no TOML"),
    ],
)
def test_rules_that_mean_nothing_are_refused(text, message):
    with pytest.raises(BadRules, match=message):
        from_toml(text)


def test_a_tie_fails_a_catch_trial_and_the_sound_side_passes():
    right, total = catch_results(VOTES)

    assert right.tolist() == [1, 1, 1, 0]
    assert total.tolist() == [1, 1, 2, 0]


def test_who_is_too_fast_in_main_trials_is_left_out():
    assert names(broken(VOTES, Rules(min_median_rt_ms=300))) == {
        "bob": ["median response time 220 ms < 300 ms"]
    }


def test_who_misses_catch_trials_is_left_out_and_who_saw_none_stays():
    assert names(broken(VOTES, Rules(min_catch_share=0.8))) == {"cleo": ["1 of 2 catch trials right < 0.8"]}


def test_the_bound_itself_is_enough():
    assert broken(VOTES, Rules(min_median_rt_ms=220, min_catch_share=0.5)) == {}


def test_rules_without_their_data_are_refused():
    bare = table(("ann", "1", "a", "b", "left", "main", None))

    with pytest.raises(BadRules, match="no rt_ms"):
        broken(bare, Rules(min_median_rt_ms=300))
    with pytest.raises(BadRules, match="none of the kind catch"):
        broken(bare, Rules(min_catch_share=0.5))


@pytest.mark.parametrize("value", ["9" * 5000, "1e400", "inf", "nan", "-1", "true"])
def test_a_number_that_is_no_limit_is_refused(value):
    with pytest.raises(BadRules):
        from_toml(f"min_median_rt_ms = {value}")
