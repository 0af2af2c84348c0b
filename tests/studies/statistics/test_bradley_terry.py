import choix
import numpy as np
import pytest
import statsmodels.api as sm

from studies.statistics.bradley_terry import bradley_terry, rank_ranges, side_bias
from studies.statistics.clusters import codes, of_votes
from studies.statistics.pairs import clustering, components, from_wins, never_beaten, tally

BASEBALL = [
    [0, 1, 7, 4, 2, 3, 1],
    [12, 0, 7, 2, 6, 7, 6],
    [6, 6, 0, 4, 4, 6, 5],
    [9, 11, 9, 0, 6, 5, 7],
    [11, 7, 9, 7, 0, 7, 9],
    [10, 6, 7, 8, 6, 0, 6],
    [12, 7, 8, 6, 4, 7, 0],
]
CITATIONS = [[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]]
NAMES = list("abcdefg")


def simulated(seed, n, ability, *, ties=0.0, side=0.0, people=20, items=30):
    """Votes drawn from Davidson and Beaver's model: left, right, choice, person, item."""
    rng = np.random.default_rng(seed)
    k = len(ability)
    left = rng.integers(0, k, n)
    right = (left + rng.integers(1, k, n)) % k
    utility = np.stack([ability[left] + side, ability[right], (ability[left] + ability[right]) / 2], axis=1)
    weight = np.exp(utility) * [1, 1, ties]
    choice = (rng.random((n, 1)) > np.cumsum(weight / weight.sum(1, keepdims=True), axis=1)).sum(1)
    return left, right, choice, rng.integers(0, people, n), rng.integers(0, items, n)


def biased(cells, person):
    return side_bias(cells, clustering(cells, of_votes(person, person)))


def test_agrestis_baseball():
    found = bradley_terry(from_wins(BASEBALL), NAMES)

    assert found.ability[1:] == pytest.approx(
        [1.107698, 0.683853, 1.436408, 1.581356, 1.247618, 1.294485], abs=1e-6
    )
    assert found.se[1:] == pytest.approx(
        [0.333878, 0.331877, 0.339569, 0.343256, 0.335861, 0.336669], abs=1e-6
    )
    assert (found.ability[0], found.se[0], found.tie_nu, found.penalised) == (0, 0, 0, False)


def test_journal_citations():
    found = bradley_terry(from_wins(CITATIONS), NAMES)

    assert found.ability[1:] == pytest.approx([-2.949072, -0.479570, 0.268954], abs=1e-6)
    assert found.se[1:] == pytest.approx([0.102545, 0.060589, 0.070830], abs=1e-6)


def test_wikipedias_example():
    found = bradley_terry(from_wins([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]]), NAMES)
    strength = np.exp(found.ability)

    assert strength / strength.sum() == pytest.approx([0.138692, 0.226152, 0.143022, 0.492133], abs=1e-6)


def test_davidsons_ties_of_two_items():
    found = bradley_terry(from_wins([[0, 30], [20, 0]], [[0, 10], [10, 0]]), NAMES)

    assert found.ability[1] == pytest.approx(-0.405465, abs=1e-6)
    assert found.tie_nu == pytest.approx(0.408248, abs=1e-6)


def test_abilities_agree_with_choix():
    left, right, choice, *_ = simulated(1, 3000, np.linspace(-1, 1, 6))
    pairs = [(a, b) if c == 0 else (b, a) for a, b, c in zip(left, right, choice, strict=True)]
    other = choix.opt_pairwise(6, [(int(a), int(b)) for a, b in pairs], method="Newton-CG", tol=1e-12)

    found = bradley_terry(tally(left, right, choice, 6), NAMES)

    assert found.ability == pytest.approx(other - other[0], abs=1e-6)


def test_davidsons_fit_meets_its_likelihood_equations():
    """Expected ties and expected scores (a win 1, a tie ½) equal the observed ones (Davidson 1970)."""
    left, right, choice, *_ = simulated(2, 2000, np.array([0, 0.5, 1.0, -0.3]), ties=0.6)
    cells = tally(left, right, choice, 4)
    found = bradley_terry(cells, NAMES)
    p = np.exp(found.ability)
    i, j, n = cells.first, cells.second, cells.counts.sum(1)
    total = p[i] + p[j] + found.tie_nu * np.sqrt(p[i] * p[j])
    expected = (
        np.stack([p[i], p[j], found.tie_nu * np.sqrt(p[i] * p[j])], axis=1) / total[:, None] * n[:, None]
    )

    assert expected[:, 2].sum() == pytest.approx(cells.counts[:, 2].sum(), rel=1e-8)
    for condition in range(4):
        scored = [
            (table[i == condition] @ [1, 0, 0.5]).sum() + (table[j == condition] @ [0, 1, 0.5]).sum()
            for table in (cells.counts, expected)
        ]
        assert scored[0] == pytest.approx(scored[1], rel=1e-8)


def test_clustered_errors_agree_with_statsmodels():
    left, right, choice, person, item = simulated(3, 1500, np.array([0, 0.7, -0.4]))
    x = np.zeros((1500, 3))
    x[np.arange(1500), left] += 1
    x[np.arange(1500), right] -= 1
    model = sm.Logit((choice == 0).astype(float), x[:, 1:])
    options = {"groups": person, "use_correction": False, "df_correction": False}
    other = model.fit(disp=0, cov_type="cluster", cov_kwds=options)

    cells = tally(left, right, choice, 3)
    found = bradley_terry(cells, NAMES, clustering(cells, of_votes(person, item)))

    assert found.ability[1:] == pytest.approx(other.params, abs=1e-6)
    assert found.se_clustered[1:] == pytest.approx(other.bse, rel=1e-5)


def test_two_way_errors_are_the_sum_of_three_sandwiches():
    left, right, choice, person, item = simulated(4, 1500, np.array([0, 0.7, -0.4]), ties=0.5)
    cell = codes(person * 30 + item)[0]
    cells = tally(left, right, choice, 3)

    def variance(groups):
        clusters = clustering(cells, of_votes(groups, item))
        return bradley_terry(cells, NAMES, clusters).se_clustered ** 2

    found = bradley_terry(cells, NAMES, clustering(cells, of_votes(person, item)))

    assert found.se_two_way**2 == pytest.approx(variance(person) + variance(item) - variance(cell), rel=1e-6)


def test_errors_with_shared_seeds_are_never_below_those_of_two_ways():
    left, right, choice, person, item = simulated(4, 1500, np.array([0, 0.7]))
    prompt, seed = item // 5, item % 5
    choice = np.where(seed == 0, left, choice)  # there the first condition always wins
    cells = tally(left, right, choice, 2)

    def variance(groups):
        clusters = clustering(cells, of_votes(groups, item))
        return bradley_terry(cells, NAMES, clusters).se_clustered ** 2

    a, b, c = map(variance, (person, prompt, seed))
    ab, ac, bc = map(variance, (person * 6 + prompt, person * 5 + seed, item))
    every = a + b + c - ab - ac - bc + variance(person * 30 + item)
    expected = np.max([a + b - ab, a + c - ac, b + c - bc, every], axis=0)
    found = bradley_terry(cells, NAMES, clustering(cells, of_votes(person, prompt, seed)))

    assert found.se_two_way**2 == pytest.approx(expected, rel=1e-6)
    one = clustering(cells, of_votes(person, prompt, np.zeros(1500)))
    assert "nothing can be said of other seeds" in bradley_terry(cells, NAMES, one).reason


def test_conditions_that_no_vote_ties_together_are_no_ranking():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 5
    cells = from_wins(wins)

    assert components(cells) == [[0, 1], [2, 3]]
    found = bradley_terry(cells, NAMES)
    assert found.ability is None
    assert "different scales: a, b; c, d" in found.reason


def test_who_never_lost_gets_a_penalised_fit_that_is_named_so():
    cells = from_wins([[0, 5, 5], [0, 0, 3], [0, 4, 0]])
    found = bradley_terry(cells, NAMES)

    assert never_beaten(cells) == [0]
    assert found.penalised
    assert "a never lost" in found.reason
    assert "penalised" in found.reason
    assert found.ability[0] > found.ability[2] > found.ability[1]
    assert np.isfinite(found.ability).all()


def test_the_penalised_fit_of_two_conditions_by_hand():
    """5 wins to 0 and half a win and a loss of both against one opponent: by symmetry he stands between."""
    found = bradley_terry(from_wins([[0, 5], [0, 0]]), NAMES)
    gap = found.ability[0] - found.ability[1]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    assert 5 * (1 - sigmoid(gap)) + 0.5 - sigmoid(gap / 2) == pytest.approx(0, abs=1e-8)


def test_wins_of_one_side_only_and_ties_have_no_maximum():
    """Strong connection through ties is not enough: a wins 5, ties 10, never loses."""
    found = bradley_terry(from_wins([[0, 5], [0, 0]], [[0, 10], [10, 0]]), NAMES)

    assert found.penalised


def test_all_ties_place_nobody_above_another():
    found = bradley_terry(from_wins(np.zeros((2, 2)), [[0, 9], [9, 0]]), NAMES)

    assert found.ability is None
    assert "all votes are ties" in found.reason


def test_one_person_has_abilities_but_no_clustered_error():
    left, right, choice, _, item = simulated(5, 300, np.array([0, 0.5, 1]))
    cells = tally(left, right, choice, 3)
    found = bradley_terry(cells, NAMES, clustering(cells, of_votes(np.zeros(300, int), item)))

    assert found.se_clustered is None
    assert found.ability is not None
    assert "one person" in found.reason


def test_rank_ranges_overlap_where_conditions_cannot_be_told_apart():
    low, high = rank_ranges(np.array([0, 0.01, 5.0]), np.diag([0.0, 0.1, 0.1]))

    assert (low.tolist(), high.tolist()) == ([2, 2, 1], [3, 3, 1])


def test_rank_ranges_are_simultaneous():
    """Of 8 equal conditions the largest of 28 differences passes 1.96 SE often, its own quantile 5 %."""
    rng = np.random.default_rng(6)
    covariance = np.eye(8) * 0.04
    wrong = 0
    for _ in range(200):
        low, _ = rank_ranges(rng.normal(0, 0.2, 8), covariance)
        wrong += low.max() > 1
    assert wrong <= 20  # 5 % of 200, far below the 50 % of pairwise intervals


def test_forced_choice_side_bias_agrees_with_a_logistic_regression():
    left, right, choice, person, _ = simulated(7, 2000, np.array([0, 0.6]), side=0.4)
    treatment = np.where(left == 1, choice == 0, choice == 1).astype(float)
    x = np.stack([np.ones(2000), np.where(left == 1, 1, -1)], axis=1)
    options = {"groups": person, "use_correction": False, "df_correction": False}
    other = sm.Logit(treatment, x).fit(disp=0, cov_type="cluster", cov_kwds=options)

    found = biased(tally(left, right, choice, 2, by_side=True), person)

    assert found.delta == pytest.approx(other.params[1], abs=1e-6)
    assert found.se == pytest.approx(other.bse[1], rel=1e-5)


def test_a_side_bias_that_all_people_have_alike_has_no_standard_error():
    # Each of five people: both sides once, the first always left; half their votes for the left.
    left = np.tile([0, 0, 1, 1], 5)
    choice = np.tile([0, 1, 0, 1], 5)
    person = np.repeat(np.arange(5), 4)

    found = biased(tally(left, 1 - left, choice, 2, by_side=True), person)

    assert (found.delta, found.se) == (pytest.approx(0, abs=1e-12), None)
    assert "no variance" in found.reason


def test_the_side_bias_of_davidson_and_beaver_is_recovered_with_ties():
    left, right, choice, person, _ = simulated(8, 40_000, np.array([0, 0.6, -0.2]), ties=0.5, side=0.3)
    found = biased(tally(left, right, choice, 3, by_side=True), person)

    assert found.delta == pytest.approx(0.3, abs=4 * found.se)
    assert 0.01 < found.se < 0.05


def test_side_bias_of_separate_scales_is_still_found():
    left, right, choice, person, _ = simulated(9, 4000, np.array([0, 0.6]), side=0.5)
    shift = 2 * np.random.default_rng(10).integers(0, 2, 4000)
    found = biased(tally(left + shift, right + shift, choice, 4, by_side=True), person)

    assert found.delta == pytest.approx(0.5, abs=4 * found.se)


@pytest.mark.parametrize(
    ("choice", "reason"),
    [([0, 0, 0, 0], "to the left"), ([1, 1, 1, 1], "to the right"), ([2, 2, 2, 2], "all votes are ties")],
)
def test_one_sided_votes_have_no_finite_bias(choice, reason):
    left, right = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    found = biased(tally(left, right, np.array(choice), 2, by_side=True), np.arange(4))

    assert (found.delta, found.se) == (None, None)
    assert reason in found.reason


def test_a_treatment_on_one_side_only_cannot_be_told_from_its_side():
    left, right = np.zeros(6, int), np.ones(6, int)
    found = biased(tally(left, right, np.array([0, 1, 0, 1, 0, 0]), 2, by_side=True), np.arange(6))

    assert found.delta is None
    assert "one way round" in found.reason
