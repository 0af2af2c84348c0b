import pytest

from studies.statistics.dropout import LEFT, RIGHT, Stand, dropout


def test_by_hand():
    found = dropout(
        [
            Stand(1, LEFT, 5, 0), Stand(1, RIGHT, 5, 1),
            Stand(2, LEFT, 4, 2), Stand(2, RIGHT, 4, 0),
            Stand(3, None, 3, 0),
        ]
    )  # fmt: skip

    assert (found["people"], found["left"]) == (10, 3)
    assert [t["remaining"] for t in found["trials"]] == pytest.approx([0.9, 0.9 * 0.75, 0.9 * 0.75])
    assert found["sides"] == {"left": {"shown": 9, "left": 2}, "right": {"shown": 9, "left": 1}}


def test_who_is_under_way_is_no_drop_out():
    """Ten begin, six are seen for one trial only and are still there."""
    found = dropout([Stand(1, LEFT, 10, 0), Stand(2, LEFT, 4, 1)])

    assert found["trials"][-1]["remaining"] == pytest.approx(0.75)


def test_without_people_there_is_none():
    assert dropout([])["people"] == 0
