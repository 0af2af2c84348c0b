import pytest

from generation.searching import search


def test_it_finds_the_bottom_of_a_parabola():
    found = search(lambda x: (x - 1.234) ** 2, (0, 8))

    assert found.value == pytest.approx(1.234, abs=2e-3)
    assert not found.at_bound


def test_the_deepest_of_several_dips_is_found():
    found = search(lambda x: min((x - 1) ** 2, (x - 6) ** 2 - 0.5), (0, 8))

    assert found.value == pytest.approx(6, abs=2e-3)


@pytest.mark.parametrize("budget", [5, 6, 7, 8, 12])
def test_it_asks_no_more_often_than_it_may_and_never_twice(budget):
    asked = []

    def objective(x):
        asked.append(x)
        return (x - 3.3) ** 2

    found = search(objective, (0, 8), budget=budget, coarse=5)

    assert len(asked) == len(set(asked)) <= budget
    assert list(found.tried) == [(x, (x - 3.3) ** 2) for x in asked]
    assert found.value == pytest.approx(3.3, abs=0.05 if budget == 12 else 1)


def test_the_last_bits_of_an_objective_change_nothing_that_is_asked():
    """Else a search that was stopped would draw pictures anew that are there."""

    def asked(error):
        return [x for x, _ in search(lambda x: (x - 3.3) ** 2 + error * x, (0, 8), budget=12).tried]

    assert asked(0) == asked(1e-9) == [round(x, 4) for x in asked(0)]


@pytest.mark.parametrize("slope", [1, -1])
def test_an_optimum_at_a_bound_is_said_to_be_so(slope):
    found = search(lambda x: slope * x, (0.8, 1.6))

    assert found.at_bound
    assert found.value == (0.8 if slope > 0 else 1.6)


@pytest.mark.parametrize(
    "bounds, more", [((1, 1), {}), ((2, 1), {}), ((0, 1), {"coarse": 2}), ((0, 1), {"budget": 3})]
)
def test_what_can_not_be_searched_is_refused(bounds, more):
    with pytest.raises(ValueError, match="nothing to search"):
        search(lambda x: x, bounds, **more)
