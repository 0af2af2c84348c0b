"""An experiment's scores compared: with the baseline, at equal cost, over a parameter, beside drift."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy import stats

from studies.statistics.scores import clustered_mean, clustered_share, metric, stratified_mean
from studies.statistics.scores_analysis import Condition, Metric, Model, Scored, analyze

SE2P = {"sampler": "se2p", "gamma": 0.015, "rho": 1.35}
DDPM = {"sampler": "ddpm", "noise_scale": 1.0}
METRICS = {"sharpness": Metric("sharpness"), "niqe": Metric("niqe", "lower"), "drift": Metric("drift")}


def scored(images, pairs=None, *, items=40, subjects=8, treatments=None, steps=(20,), **changes):
    """One model's experiment. images: {metric: (I, C, S)}."""
    treatments = treatments or [Condition("se2p", SE2P, [2 * n for n in steps])]
    conditions = [Condition("baseline", DDPM, list(steps)), *treatments]
    shape = (items, len(conditions), len(steps))
    made = np.ones(shape, bool)
    made[:, 0] = False
    return Scored(
        **{
            "models": [Model("flowers", "class")],
            "model": np.zeros(items, np.int64),
            "subject": np.arange(items) % subjects,
            "seed": np.arange(items),
            "conditions": conditions,
            "steps": steps,
            "made": made,
            "excluded": np.zeros(shape, bool),
            "same": np.zeros(shape, bool),
            "flags": np.zeros(shape, np.int64),
            "flag_names": ["blurred", "drifted"],
            "metrics": METRICS,
            "images": images,
            "pairs": pairs or {},
        }
        | changes
    )


def noise(shape, seed=1):
    return np.random.default_rng(seed).normal(0, 1, shape)


def rho(value, steps=(20,)):
    return Condition(f"se2p-rho{value}", SE2P | {"rho": value}, [2 * n for n in steps])


def test_a_comparison_is_that_of_the_paired_differences():
    cube = noise((40, 2, 1))
    found = analyze(scored({"niqe": cube}))["comparisons"][0]
    expected = metric(cube[:, 1, 0] - cube[:, 0, 0], np.arange(40) % 8, higher_is_better=False)

    shown = found["metrics"]["niqe"]
    assert (found["model"], found["steps"], found["treatment"], found["n_pairs"]) == (
        "flowers",
        20,
        "se2p",
        40,
    )
    assert found["evaluations"] == {"baseline": 20, "treatment": 40}
    assert shown["difference"]["low"] == pytest.approx(expected.difference.low)
    assert shown["difference"]["n_clusters"] == 8
    assert shown["won"]["share"] == expected.won
    assert shown["treatment"] - shown["baseline"] == pytest.approx(shown["difference"]["mean"])
    assert shown["holm_p"] == pytest.approx(expected.difference.p)


def test_excluded_pairs_are_out_and_counted():
    cube = noise((40, 2, 1))
    excluded = np.zeros(cube.shape, bool)
    excluded[:5, 1] = True
    found = analyze(scored({"niqe": cube}, excluded=excluded))["comparisons"][0]

    assert (found["n_pairs"], found["n_excluded"]) == (35, 5)
    assert found["metrics"]["niqe"]["difference"]["mean"] == pytest.approx(
        (cube[5:, 1, 0] - cube[5:, 0, 0]).mean()
    )


def test_pairs_that_were_not_scored_are_counted():
    cube = noise((40, 2, 1))
    cube[3, 0] = np.nan
    found = analyze(scored({"niqe": cube}))["comparisons"][0]["metrics"]["niqe"]

    assert (found["n_without"], found["difference"]["n_items"]) == (1, 39)


def test_holm_goes_over_the_metrics_of_a_comparison():
    images = {"niqe": noise((40, 2, 1)), "sharpness": noise((40, 2, 1), 2)}
    found = analyze(scored(images))["comparisons"][0]["metrics"]

    smallest = min(m["difference"]["p"] for m in found.values())
    assert min(m["holm_p"] for m in found.values()) == pytest.approx(min(1, 2 * smallest))


@pytest.mark.parametrize(("subjects", "unit", "units"), [(8, "class", 8), (1, "seed", 40), (40, "class", 40)])
def test_the_sampled_unit_is_what_several_seeds_share(subjects, unit, units):
    found = analyze(scored({"niqe": noise((40, 2, 1))}, subjects=subjects))

    assert found["units"] == [
        {"model": "flowers", "items": 40, "unit": unit, "n_units": units, "n_seeds": None}
    ]
    difference = found["comparisons"][0]["metrics"]["niqe"]["difference"]
    assert difference["n_clusters"] == units


def test_seeds_that_several_labels_share_are_sampled_units_too():
    """Eight seeds of five labels: what a seed's noise does is seen in all five."""
    seed, label = np.divmod(np.arange(40), 5)
    cube = np.zeros((40, 2, 1))
    cube[:, 1, 0] = 1 + noise(8)[seed] + 0.01 * noise(40, 2)
    own, shared = (
        analyze(scored({"niqe": cube}, subject=label, seed=seeds)) for seeds in (np.arange(40), seed)
    )

    assert [found["units"][0]["n_seeds"] for found in (own, shared)] == [None, 8]
    of_own, of_shared = (found["comparisons"][0]["metrics"]["niqe"] for found in (own, shared))
    by_seed = clustered_mean(cube[:, 1, 0], seed)
    for mean in (of_shared["difference"], of_shared["these_units"]):
        assert mean["high"] - mean["low"] > 0.9 * (by_seed.high - by_seed.low)
    assert of_own["difference"]["high"] - of_own["difference"]["low"] < 0.6 * (by_seed.high - by_seed.low)
    assert of_shared["wilcoxon_p"] >= 2 / 2**8


def test_one_seed_of_every_label_has_no_interval():
    """One draw of noise, however many labels: nothing says what another one would have done."""
    cube = 1 + noise((5, 2, 1))
    found = analyze(scored({"niqe": cube}, items=5, subjects=5, seed=np.zeros(5, int)))

    assert found["units"][0]["n_seeds"] == 1
    assert "only 5 sampled units (class) and 1 sampled unit (seed)" in found["units"][0]["warning"]
    difference = found["comparisons"][0]["metrics"]["niqe"]["difference"]
    assert (difference["low"], difference["high"], difference["p"]) == (None, None, None)
    assert "only one seed, whose noise all values share" in difference["reason"]


def test_few_units_are_warned_of_and_exactly_these_have_an_interval_too():
    cube = noise((40, 2, 1))
    found = analyze(scored({"niqe": cube}, subjects=4))

    assert "only 4 sampled units" in found["units"][0]["warning"]
    these = found["comparisons"][0]["metrics"]["niqe"]["these_units"]
    expected = stratified_mean(cube[:, 1, 0] - cube[:, 0, 0], np.arange(40) % 4)
    assert (these["low"], these["high"]) == (expected.low, expected.high)


def test_models_are_analysed_apart():
    cube = noise((40, 2, 1))
    cube[20:, 1] += 5
    data = scored(
        {"niqe": cube}, models=[Model("a", "class"), Model("b", "class")], model=np.repeat([0, 1], 20)
    )
    found = analyze(data)["comparisons"]

    assert [c["model"] for c in found] == ["a", "b"]
    assert [c["n_pairs"] for c in found] == [20, 20]
    assert found[1]["metrics"]["niqe"]["difference"]["mean"] > 3


def test_levels_stand_beside_one_another_with_their_cost():
    steps = (10, 20)
    cube = noise((40, 3, 2))
    data = scored({"niqe": cube}, treatments=[rho(1.0, steps), rho(1.35, steps)], steps=steps)
    found = analyze(data)["levels"]

    assert [level["steps"] for level in found] == [10, 20]
    assert list(found[1]["metrics"]["niqe"]) == ["baseline", "se2p-rho1.0", "se2p-rho1.35"]
    assert found[1]["evaluations"] == {"baseline": 20, "se2p-rho1.0": 40, "se2p-rho1.35": 40}
    assert found[1]["metrics"]["niqe"]["baseline"]["mean"] == pytest.approx(cube[:, 0, 1].mean())


def test_equal_evaluations_compare_with_the_baseline_of_more_steps():
    cube = noise((40, 2, 2))
    found = analyze(scored({"niqe": cube}, steps=(20, 40)))["equal_evaluations"]

    assert len(found) == 1
    assert found[0]["evaluations"] == 40
    assert found[0]["reference"] == {"condition": "baseline", "steps": 40}
    shown = found[0]["conditions"][0]
    assert (shown["condition"], shown["steps"]) == ("se2p", 20)
    assert shown["metrics"]["niqe"]["difference"]["mean"] == pytest.approx(
        (cube[:, 1, 0] - cube[:, 0, 1]).mean()
    )


def test_a_baseline_with_twice_the_steps_is_a_plain_baseline_too():
    twice = Condition("ddpm-2n", DDPM | {"steps_factor": 2}, [40])
    data = scored({"niqe": noise((40, 3, 1))}, treatments=[Condition("se2p", SE2P, [40]), twice])
    found = analyze(data)["equal_evaluations"]

    assert found[0]["reference"] == {"condition": "ddpm-2n", "steps": 20}
    assert [c["condition"] for c in found[0]["conditions"]] == ["se2p"]


def test_plain_baselines_of_one_cost_are_not_compared_with_one_another():
    """The baseline at N = 40 and twice its steps at N = 20 give the same pictures."""
    twice = Condition("ddpm-2n", DDPM | {"steps_factor": 2}, [40, 80])
    data = scored(
        {"niqe": noise((40, 3, 2))}, treatments=[twice, Condition("se2p", SE2P, [40, 80])], steps=(20, 40)
    )
    found = {each["evaluations"]: each for each in analyze(data)["equal_evaluations"]}

    assert found[40]["reference"] == {"condition": "baseline", "steps": 40}
    assert [c["condition"] for c in found[40]["conditions"]] == ["se2p"]

    alone = scored({"niqe": noise((40, 2, 2))}, treatments=[twice], steps=(20, 40))
    assert analyze(alone)["equal_evaluations"] == []


def test_an_imported_baseline_of_more_steps_is_plain_and_imported_ones_are_compared():
    imported = {"imported": True}
    more = Condition("ddpm 40", DDPM | imported | {"steps": 40}, [40])
    again = Condition("ddpm 40 again", DDPM | imported | {"steps": 40}, [40])
    data = scored(
        {"niqe": noise((40, 4, 1))}, treatments=[Condition("se2p", SE2P | imported, [40]), more, again]
    )
    conditions = [Condition("baseline", DDPM | imported, [20]), *data.conditions[1:]]
    (found,) = analyze(replace(data, conditions=conditions))["equal_evaluations"]

    assert found["reference"] == {"condition": "ddpm 40", "steps": 20}
    assert [c["condition"] for c in found["conditions"]] == ["se2p", "ddpm 40 again"]


def test_a_mean_ends_where_its_metric_does():
    cube = np.abs(noise((4, 2, 1)))
    data = scored({"niqe": cube}, items=4, subjects=2, metrics={"niqe": Metric("niqe", ends=(0, inf))})

    for of_each in analyze(data)["levels"][0]["metrics"]["niqe"].values():
        assert of_each["low"] == 0
        assert of_each["high"] > of_each["mean"]


def test_without_a_plain_baseline_of_that_cost_the_reason_is_said():
    treatments = [Condition("se2p", SE2P, [40]), Condition("naive", {"sampler": "naive"}, [40])]
    found = analyze(scored({"niqe": noise((40, 3, 1))}, treatments=treatments))["equal_evaluations"]

    assert found[0]["reference"] is None
    assert "not made with 40 evaluations" in found[0]["reason"]


def swept(gains, *, steps=(10, 20, 40), name="niqe"):
    """gains: {ρ: (gain at each number of steps)}, in the metric's good direction."""
    cube = noise((40, len(gains) + 1, len(steps)))
    sign = -1 if METRICS[name].better == "lower" else 1
    for place, gain in enumerate(gains.values(), 1):
        cube[:, place] = cube[:, 0] + sign * np.array(gain) + 0.1 * noise((40, len(steps)), place)
    data = scored({name: cube}, treatments=[rho(value, steps) for value in gains], steps=steps)
    return analyze(data)["sweeps"][0]


def test_the_best_value_and_where_the_gain_ends():
    found = swept({1.55: (2, -1, -2), 0.5: (-1, -1, -0.5), 1.35: (1, 1, -1)})
    niqe = found["metrics"]["niqe"]

    assert found["parameter"] == "rho"
    assert found["values"] == [0.5, 1.35, 1.55]
    assert [at["best"]["value"] for at in niqe["steps"]] == [1.55, 1.35, 0.5]
    assert [at["gains"] for at in niqe["steps"]] == [[1.35, 1.55], [1.35], []]
    assert niqe["gain_ends"] == 40


def test_a_gain_that_does_not_end_has_a_reason():
    niqe = swept({1.0: (1, 1, 1), 1.35: (2, 2, 2)})["metrics"]["niqe"]

    assert niqe["gain_ends"] is None
    assert "every number of steps up to 40" in niqe["reason"]


def test_values_that_are_not_told_from_the_best_are_named():
    at = swept({0.5: (0, 0, 0), 1.35: (2, 2, 2), 1.4: (2.001, 2.001, 2.001)})["metrics"]["niqe"]["steps"][0]

    assert {at["best"]["value"], *at["as_good"]} == {1.35, 1.4}


def test_a_metric_without_direction_is_read_as_more_is_better():
    found = swept({1.0: (1, 1, 1), 1.35: (2, 2, 2)}, name="sharpness")["metrics"]["sharpness"]

    assert (found["better"], found["read_as_better"]) == ("none", "higher")
    assert found["steps"][0]["best"]["value"] == 1.35


def test_conditions_that_differ_in_more_than_one_parameter_are_no_sweep():
    treatments = [rho(1.0), Condition("other", SE2P | {"gamma": 0.5}, [40])]

    assert analyze(scored({"niqe": noise((40, 3, 1))}, treatments=treatments))["sweeps"] == []


def test_words_come_after_numbers_in_a_sweep():
    treatments = [Condition(str(d), SE2P | {"offset": d}, [40]) for d in ("step", 10, 2)]
    found = analyze(scored({"niqe": noise((40, 4, 1))}, treatments=treatments))["sweeps"]

    assert found[0]["values"] == [2, 10, "step"]


def test_drift_stands_beside_the_baselines_seeds():
    drift, seeds = np.full((40, 2, 1), np.nan), np.full((40, 2, 1), np.nan)
    drift[:, 1, 0], seeds[:, 0, 0] = 0.9 + 0.01 * noise(40), 0.6 + 0.01 * noise(40, 2)
    data = scored(
        {"seed_similarity": seeds},
        {"drift": drift},
        metrics=METRICS | {"seed_similarity": Metric("seed_similarity")},
    )
    found = analyze(data)["drift"][0]

    point = found["points"][0]
    assert (point["steps"], point["treatment"], point["rho"]) == (20, "se2p", 1.35)
    assert point["mean"] == pytest.approx(drift[:, 1, 0].mean())
    assert found["yardstick"][0]["mean"] == pytest.approx(seeds[:, 0, 0].mean())


def test_the_interval_of_a_similarity_ends_at_one():
    """Two labels have a t interval of one degree of freedom."""
    alike = np.tile(np.repeat([0.8, 0.96], 20)[:, None, None], (1, 2, 1))
    data = scored(
        {"seed_similarity": alike},
        {"drift": alike},
        subject=np.repeat([0, 1], 20),
        metrics=METRICS | {"seed_similarity": Metric("seed_similarity")},
    )
    found = analyze(data)["drift"][0]

    for one in (found["points"][0], found["yardstick"][0]):
        assert one["low"] < one["mean"] == pytest.approx(0.88)
        assert one["high"] == 1


def test_a_missing_yardstick_has_a_reason():
    drift = np.full((40, 2, 1), 0.9)
    found = analyze(scored({}, {"drift": drift}))["drift"][0]

    assert found["yardstick"][0]["mean"] is None
    assert "no two seeds" in found["yardstick"][0]["reason"]


def test_a_flag_that_no_pair_can_have_has_a_reason_and_no_share():
    never = {(0, 1, 0): {"blurred": "no scores", "any": "no threshold"}}
    found = analyze(scored({"niqe": noise((40, 2, 1))}, never=never))["comparisons"][0]

    assert found["flags"]["any"] == {
        "n": 0, "share": None, "low": None, "high": None, "reason": "no threshold"
    }  # fmt: skip
    assert found["flags"]["blurred"]["reason"] == "no scores"
    assert found["flags"]["drifted"]["share"] == 0.0
    assert found["never_flagged"] == {"blurred": "no scores"}


def test_flags_are_counted_by_kind():
    cube = noise((40, 2, 1))
    flags = np.zeros(cube.shape, np.int64)
    flags[:10, 1] = 1  # blurred
    flags[5:8, 1] = 3  # and drifted
    found = analyze(scored({"niqe": cube}, flags=flags))["comparisons"][0]["flags"]

    assert {kind: shown["n"] for kind, shown in found.items()} == {"any": 10, "blurred": 10, "drifted": 3}
    assert found["any"]["share"] == 0.25
    assert found["any"]["low"] < 0.25 < found["any"]["high"]


def test_no_number_is_not_finite():
    """An experiment of one item, and one whose treatment is the baseline."""
    one = analyze(scored({"niqe": noise((1, 2, 1))}, items=1, subjects=1))
    same = analyze(scored({"niqe": np.ones((40, 2, 1))}))

    for found in (one, same):
        difference = found["comparisons"][0]["metrics"]["niqe"]["difference"]
        assert difference["low"] is None
        assert difference["reason"]


def test_exactly_these_strata_agree_with_a_model_of_fixed_effects():
    sm = pytest.importorskip("statsmodels.api")
    x = noise(60) + np.repeat([0.0, 2.0, 5.0], 20)
    dummies = np.kron(np.eye(3), np.ones((20, 1)))
    fit = sm.OLS(x, dummies).fit()
    # equal sizes, so a pooled variance within strata is the same
    test = fit.t_test(np.ones(3) / 3)
    found = stratified_mean(x, np.repeat(["a", "b", "c"], 20))

    assert (found.low, found.high) == pytest.approx(tuple(test.conf_int()[0]))
    assert found.p == pytest.approx(float(test.pvalue))
    assert "one value only" in stratified_mean([1.0, 2.0, 3.0], ["a", "a", "b"]).reason


def test_a_share_without_clusters_is_wilsons():
    y = np.repeat([1.0, 0.0], [15, 25])
    found = clustered_share(y)
    n = 15 / 40 * 25 / 40 / clustered_variance(y)

    t = stats.t.ppf(0.975, 39)
    centre = (15 / 40 + t * t / (2 * n)) / (1 + t * t / n)
    assert (found.low + found.high) / 2 == pytest.approx(centre)
    assert clustered_share([1.0, 1.0], ["a", "a"]).reason


def clustered_variance(y):
    return y.var(ddof=1) / len(y)


def test_the_mean_of_a_cell_is_the_clustered_one():
    found = swept({1.0: (1, 1, 1), 1.35: (2, 2, 2)})["metrics"]["niqe"]["steps"][0]["cells"][0]

    assert found["low"] < found["mean"] < found["high"]
    assert clustered_mean([1.0, 2.0]).n == 2
