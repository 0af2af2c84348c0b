import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.statistics.analysis import NotAnalysable, analyze, variance
from studies.statistics.contrasts import contrast, equality, trend
from studies.statistics.exclusions import Rules
from studies.statistics.intervals import Estimand, preference
from studies.statistics.options import Look, Options
from studies.statistics.table import read
from studies.statistics.votes import BadVote, from_columns
from tests.studies.statistics.alike import alike


def rows_of(seed=1, people=12, items=10, treatments=("se2p",), block="all", share=0.65):
    """Everyone on every item, sides balanced, one treatment an item in turn; ties one in ten."""
    rng = np.random.default_rng(seed)
    for p in range(people):
        for i in range(items):
            treatment = treatments[i % len(treatments)]
            left, right = (treatment, "baseline") if (p + i) % 2 else ("baseline", treatment)
            better = "left" if left == treatment else "right"
            worse = "right" if better == "left" else "left"
            choice = "tie" if rng.random() < 0.1 else better if rng.random() < share else worse
            yield {
                "participant": f"p{p:02d}", "item": f"i{i}", "left": left, "right": right, "choice": choice,
                "block": block, "kind": "main", "mode": "live", "rt_ms": 500 + 10 * p,
            }  # fmt: skip


def table(*rows):
    names = sorted({name for row in rows for name in row})
    return from_columns({name: [row.get(name, "") for row in rows] for name in names})


def nulls_without_reason(found, path="$"):
    """Where a None stands without a reason beside it; NaN counts as none of the two."""
    if isinstance(found, dict):
        for key, value in found.items():
            if value is None and not found.get("reason"):
                yield f"{path}.{key}"
            yield from nulls_without_reason(value, f"{path}.{key}")
    elif isinstance(found, list):
        for i, value in enumerate(found):
            yield from nulls_without_reason(value, f"{path}[{i}]")


def checked(votes, options=None):
    found = analyze(votes, options)
    json.dumps(found, allow_nan=False)
    assert list(nulls_without_reason(found)) == []
    return found


def test_it_works():
    rows = list(rows_of())
    found = checked(table(*rows))
    block = found["blocks"]["all"]
    y = [
        0.5 if r["choice"] == "tie" else float((r["choice"] == "left") == (r["left"] == "se2p")) for r in rows
    ]
    alone = preference(y, [r["participant"] for r in rows], [r["item"] for r in rows])

    shown = block["preference"]["se2p"]
    assert (shown["share"], shown["low"], shown["high"], shown["p"]) == pytest.approx(
        (alone.share, alone.low, alone.high, alone.p)
    )
    assert shown["share_decided"] == pytest.approx(np.mean([v for v in y if v != 0.5]))
    assert shown["holm_p"] == shown["p"]
    assert block["n_votes"] == 120
    assert block["n_ties"] == sum(v == 0.5 for v in y)
    assert (block["n_participants"], block["n_items"], block["cluster_unit"]) == (12, 10, "item")
    assert block["bradley_terry"]["names"] == ["baseline", "se2p"]
    assert block["components"] == [["baseline", "se2p"]]


def test_the_documented_keys_are_all_there():
    block = checked(table(*rows_of()))["blocks"]["all"]

    assert set(block) >= {
        "n_votes", "n_ties", "n_participants", "n_items", "cluster_unit", "n_clusters", "preference",
        "side_bias", "bradley_terry", "jod", "components", "alpha", "repeats_agreement",
        "flagged_participants",
    }  # fmt: skip
    assert set(block["preference"]["se2p"]) >= {
        "share", "share_decided", "estimand", "low", "high", "method", "p", "holm_p",
        "binomial_p_naive", "verdict",
    }  # fmt: skip
    assert set(block["bradley_terry"]) >= {"names", "ability", "se", "se_clustered", "se_two_way", "tie_nu"}
    assert set(block["jod"]) >= {"names", "value", "low", "high"}
    assert set(block["side_bias"]) >= {"delta", "se"}


def test_a_file_and_memory_give_the_same_figures():
    rows = list(rows_of(treatments=("se2p", "ddim")))
    text = "participant,item,left,right,choice\n" + "".join(
        f"{r['participant']},{r['item']},{r['left']},{r['right']},{r['choice']}\n" for r in rows
    )
    bare = [{key: r[key] for key in ("participant", "item", "left", "right", "choice")} for r in rows]

    assert analyze(read(text.encode())) == analyze(table(*bare))


def test_the_order_of_votes_does_not_matter():
    rows = list(rows_of(treatments=("se2p", "ddim")))
    one, other = analyze(table(*rows)), analyze(table(*rows[::-1]))

    for treatment in ("se2p", "ddim"):
        a, b = (f["blocks"]["all"]["preference"][treatment] for f in (one, other))
        assert (a["share"], a["low"], a["p"]) == pytest.approx((b["share"], b["low"], b["p"]))
    assert one["blocks"]["all"]["alpha"] == pytest.approx(other["blocks"]["all"]["alpha"])


def test_the_baseline_is_the_one_asked_then_the_one_named_so_then_the_first_name():
    votes = table(*rows_of(treatments=("se2p", "ddim")))
    renamed = [r | {s: r[s].replace("baseline", "zero") for s in ("left", "right")} for r in rows_of()]

    assert analyze(votes)["blocks"]["all"]["baseline"] == "baseline"
    assert checked(votes, Options(baseline="se2p"))["blocks"]["all"]["baseline"] == "se2p"
    assert analyze(table(*renamed))["blocks"]["all"]["baseline"] == "se2p"
    with pytest.raises(NotAnalysable, match="no vote names the baseline 'ddpm'"):
        analyze(votes, Options(baseline="ddpm"))


def test_a_treatment_that_never_met_the_baseline_says_so():
    found = checked(table(*rows_of(treatments=("se2p", "ddim"))), Options(baseline="se2p"))
    shown = found["blocks"]["all"]["preference"]["ddim"]

    assert shown["share"] is None
    assert "no vote compares 'ddim' with the baseline 'se2p'" in shown["reason"]


def test_holm_goes_over_all_blocks_and_treatments():
    rows = [r for b in ("x", "y", "z") for r in rows_of(seed=ord(b), block=b, treatments=("se2p", "ddim"))]
    found = checked(table(*rows))
    shown = [p for block in found["blocks"].values() for p in block["preference"].values()]

    assert found["family"] == 6
    smallest = min(shown, key=lambda p: p["p"])
    assert smallest["holm_p"] == pytest.approx(6 * smallest["p"])


def test_both_estimands_are_named():
    votes = table(*rows_of())
    like, these = (
        checked(votes, Options(estimand=e))["blocks"]["all"]["preference"]["se2p"] for e in Estimand
    )

    assert {like["estimand"], these["estimand"]} == {"items", "items-like-these"}
    assert like["method"] != these["method"]


def test_only_main_votes_count_for_preference():
    rows = list(rows_of())
    extra = [rows[0] | {"kind": "practice", "item": f"x{i}", "choice": "left"} for i in range(50)]

    one, other = (analyze(table(*r))["blocks"]["all"]["preference"] for r in (rows, rows + extra))
    assert one == other


def test_only_live_votes_count_unless_asked():
    rows = list(rows_of())
    pilot = [r | {"mode": "pilot", "participant": "q" + r["participant"]} for r in rows_of(seed=2)]
    found = checked(table(*rows, *pilot))

    assert found["blocks"]["all"]["n_votes"] == 120
    assert found["votes"]["other_modes"] == 120
    both = checked(table(*rows, *pilot), Options(modes=("live", "pilot")))
    assert both["blocks"]["all"]["n_votes"] == 240


def test_no_vote_in_the_mode_is_refused_with_what_is_there():
    pilot = [r | {"mode": "pilot"} for r in rows_of()]

    with pytest.raises(NotAnalysable, match="no main vote in mode live; there are 120 pilot main"):
        analyze(table(*pilot))
    with pytest.raises(NotAnalysable, match="no mode 'test'"):
        analyze(table(*pilot), Options(modes=("test",)))


def test_one_persons_votes_in_two_modes_are_not_mixed():
    rows = [*rows_of(), *(r | {"mode": "pilot"} for r in rows_of())]

    with pytest.raises(NotAnalysable, match="in two of the modes"):
        analyze(table(*rows), Options(modes=("live", "pilot")))


def catch(person, right, n=8):
    return [
        {
            "participant": person, "item": f"c{i}", "left": "catch" if i % 2 else "baseline",
            "right": "baseline" if i % 2 else "catch", "block": "all", "kind": "catch", "mode": "live",
            "rt_ms": 900,
            "choice": ("right" if i % 2 else "left") if i < right else "tie",
        }
        for i in range(n)
    ]  # fmt: skip


def test_who_fails_catch_trials_is_flagged_but_counts():
    found = checked(table(*rows_of(), *catch("p03", 5), *catch("p04", 7)))

    assert found["blocks"]["all"]["flagged_participants"] == ["p03"]
    assert found["blocks"]["all"]["n_votes"] == 120
    assert found["people"]["p04"]["catch"]["chance"]["random_two_way"] == pytest.approx(9 / 256)


def test_rules_leave_people_out_and_the_figures_without_them_stand_beside():
    votes = table(*rows_of(), *catch("p03", 5), *catch("p04", 7))
    found = checked(votes, Options(rules=Rules(min_catch_share=0.75, min_median_rt_ms=505)))
    shown = found["blocks"]["all"]["preference"]["se2p"]

    assert found["excluded_participants"] == {
        "p00": ["median response time 500 ms < 505 ms"],
        "p03": ["5 of 8 catch trials right < 0.75"],
    }
    assert found["blocks"]["all"]["n_votes"] == 100
    assert found["blocks"]["all"]["flagged_participants"] == ["p00", "p03"]
    assert shown["beside"]["without_exclusions"]["n_votes"] == 120
    assert shown["beside"]["without_exclusions"]["share"] == pytest.approx(
        analyze(votes)["blocks"]["all"]["preference"]["se2p"]["share"]
    )


def test_rules_that_leave_nobody_are_refused():
    with pytest.raises(NotAnalysable, match="leave nobody"):
        analyze(table(*rows_of()), Options(rules=Rules(min_median_rt_ms=1e6)))


def test_repeats_are_compared_by_condition_not_by_side():
    rows = list(rows_of())
    swap = {"left": "right", "right": "left", "tie": "tie"}
    again = [
        r | {"kind": "repeat", "left": r["right"], "right": r["left"], "choice": swap[r["choice"]]}
        for r in rows[:8]
    ]
    fickle = [r | {"kind": "repeat", "choice": "tie" if r["choice"] != "tie" else "left"} for r in rows[8:10]]
    found = checked(table(*rows, *again, *fickle))

    assert found["blocks"]["all"]["repeats_agreement"] == pytest.approx(0.8)
    assert found["people"]["p00"]["repeats"] == {"agree": 8, "total": 10}
    assert found["blocks"]["all"]["preference"]["se2p"]["beside"]["with_repeats"]["n_votes"] == 130


def test_repeats_without_a_first_vote_are_no_agreement():
    found = checked(table(*rows_of(), next(rows_of()) | {"kind": "repeat", "item": "new"}))

    assert found["blocks"]["all"]["repeats_agreement"] is None
    assert "no repeat has a main vote" in found["blocks"]["all"]["reason"]


def test_completers_stand_beside_where_they_are_known():
    found = checked(table(*rows_of()), Options(completed=frozenset({"p01", "p02", "p03"})))

    assert found["blocks"]["all"]["preference"]["se2p"]["beside"]["completers"]["n_votes"] == 30


def test_prompts_are_the_units_where_items_share_one():
    rows = [r | {"cluster": f"prompt{int(r['item'][1:]) // 2}"} for r in rows_of()]
    block = checked(table(*rows))["blocks"]["all"]

    assert (block["cluster_unit"], block["n_clusters"], block["n_items"]) == ("cluster", 5, 10)
    assert "cluster" in block["preference"]["se2p"]["method"]


def test_four_models_each_against_its_own_baseline_are_four_scales():
    rows = [
        r | {"left": f"{r['left']}-{m}", "right": f"{r['right']}-{m}", "item": f"{m}{r['item']}"}
        for m in "abcd"
        for r in rows_of(seed=ord(m))
    ]
    block = checked(table(*rows))["blocks"]["all"]

    assert len(block["components"]) == 4
    assert block["bradley_terry"]["ability"] is None
    assert "different scales" in block["bradley_terry"]["reason"]
    assert block["jod"]["value"] is None
    assert block["side_bias"]["delta"] is not None


def test_contrasts_and_equality_compare_blocks_and_treatments():
    rows = [r for b in ("ddpm", "ldm") for r in rows_of(seed=ord(b[0]), block=b, treatments=("se2p", "ddim"))]
    found = checked(table(*rows))

    assert len(found["contrasts"]) == 4
    one = found["contrasts"][0]
    shares = [
        found["blocks"][s["block"]]["preference"][s["treatment"]]["share"] for s in (one["of"], one["minus"])
    ]
    assert one["difference"] == pytest.approx(shares[0] - shares[1])
    assert found["equality"]["se2p"]["blocks"] == ["ddpm", "ldm"]


def test_questions_are_blocks_of_their_own():
    rows = [r | {"question": q} for q in ("quality", "fidelity") for r in rows_of()]

    assert list(checked(table(*rows))["blocks"]) == ["all / fidelity", "all / quality"]


def test_a_planned_look_is_held_to_its_boundary():
    options = Options(look=Look(1, (0.2, 0.4, 0.6, 0.8, 1.0)))
    look = checked(table(*rows_of(share=0.7)), options)["blocks"]["all"]["preference"]["se2p"]["look"]

    assert look["boundary"] == pytest.approx(4.877, abs=1e-3)
    assert look["crossed"] == (look["z"] >= look["boundary"])


def test_unplanned_looks_get_a_confidence_sequence_that_is_wider():
    rows = rows_of(people=24, items=8)
    shown = checked(table(*rows), Options(planned_people=33, estimand=Estimand.ITEMS))["blocks"]["all"]
    p = shown["preference"]["se2p"]

    assert p["confidence_sequence"]["high"] - p["confidence_sequence"]["low"] > p["high"] - p["low"]


def test_the_spread_of_people_and_items_is_estimated_by_block():
    found = variance(table(*rows_of(people=20, items=20)))["all"]["se2p"]

    assert found["item"]["low"] <= found["item"]["sd"] <= found["item"]["high"]
    assert list(nulls_without_reason(found)) == []


@pytest.mark.parametrize(
    "rows",
    [
        [next(rows_of())],
        [r for r in rows_of() if r["participant"] == "p00"],
        [r for r in rows_of() if r["item"] == "i0"],
        [r | {"choice": "tie"} for r in rows_of()],
        [r | {"choice": "left"} for r in rows_of()],
        [r | {"choice": "left" if r["left"] == "se2p" else "right"} for r in rows_of()],
        [r for r in rows_of() if r["left"] == "se2p"],
        [r | {"item": f"{r['participant']}{r['item']}"} for r in rows_of()],
    ],
    ids=[
        "one vote",
        "one person",
        "one item",
        "all ties",
        "all left",
        "all for one",
        "one way round",
        "items once",
    ],
)
@pytest.mark.parametrize("estimand", list(Estimand))
def test_scarce_or_one_sided_votes_give_an_answer_or_a_reason(rows, estimand):
    checked(table(*rows), Options(estimand=estimand, planned_people=33, look=Look(1, (0.5, 1.0))))


vote = st.fixed_dictionaries(
    {
        "participant": st.sampled_from("abc"),
        "item": st.sampled_from("1234"),
        "left": st.sampled_from(["baseline", "x", "y", "catch"]),
        "right": st.sampled_from(["baseline", "x", "y", "catch"]),
        "choice": st.sampled_from(["left", "right", "tie"]),
        "kind": st.sampled_from(["main", "main", "main", "repeat", "catch", "practice"]),
        "block": st.sampled_from(["u", "v"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(vote, min_size=1, max_size=25), st.sampled_from(list(Estimand)))
def test_any_votes_give_an_answer_or_a_reason(rows, estimand):
    try:
        votes = table(*rows)
    except BadVote:
        return
    try:
        checked(votes, Options(estimand=estimand))
    except NotAnalysable as error:
        assert "no main vote" in str(error)


def test_people_excluded_on_record_are_left_out_with_their_reasons_and_flagged():
    votes = table(*rows_of())
    found = checked(votes, Options(excluded={"p03": ["3 pictures did not arrive > 2"], "nobody": ["left"]}))
    without = checked(table(*(r for r in rows_of() if r["participant"] != "p03")))
    block = found["blocks"]["all"]

    assert found["excluded_participants"] == {"p03": ["3 pictures did not arrive > 2"]}
    assert block["flagged_participants"] == ["p03"]
    shown = block["preference"]["se2p"]
    assert shown["share"] == without["blocks"]["all"]["preference"]["se2p"]["share"]
    assert shown["beside"]["without_exclusions"]["n_participants"] == 12


def test_the_other_estimand_stands_beside():
    votes = table(*rows_of())
    default, these = (
        checked(votes, Options(estimand=e))["blocks"]["all"]["preference"]["se2p"] for e in Estimand
    )

    for one, other in ((default, these), (these, default)):
        assert one["other_estimand"]["estimand"] == other["estimand"]
        for key in ("share", "low", "high", "p"):
            assert one["other_estimand"][key] == other[key]


def test_pilots_stand_beside_live_votes():
    pilots = [r | {"mode": "pilot", "participant": "x" + r["participant"]} for r in rows_of(seed=2, people=3)]
    shown = checked(table(*rows_of(), *pilots))["blocks"]["all"]["preference"]["se2p"]
    alone = checked(table(*pilots), Options(modes=("pilot",)))["blocks"]["all"]["preference"]["se2p"]

    assert shown["n_votes"] == 120
    assert shown["beside"]["pilots"]["share"] == alone["share"]
    assert shown["beside"]["pilots"]["n_votes"] == 30
    assert "pilots" not in alone["beside"]


def test_each_block_may_have_a_baseline_of_its_own():
    blocks = [
        *rows_of(block="a"),
        *(r | {s: r[s].replace("baseline", "zero") for s in ("left", "right")} for r in rows_of(block="b")),
    ]
    found = checked(table(*blocks), Options(baselines={"b": "zero"}))["blocks"]

    assert [found[name]["baseline"] for name in ("a", "b")] == ["baseline", "zero"]
    assert list(found["b"]["preference"]) == ["se2p"]


def test_the_trend_over_steps_is_that_of_the_function():
    rows = [
        r | {"steps": steps, "model": model}
        for model in ("dit", "ldm")
        for steps, share in ((10, 0.5), (20, 0.65), (50, 0.8))
        for r in rows_of(block=f"{model} {steps}", share=share, seed=steps)
    ]
    found = checked(table(*rows))["trend"]
    y = [
        0.5 if r["choice"] == "tie" else float((r["choice"] == "left") == (r["left"] == "se2p")) for r in rows
    ]
    expected = trend(
        y, [r["model"] for r in rows], [r["steps"] for r in rows],
        [r["participant"] for r in rows], [r["item"] for r in rows],
    )  # fmt: skip

    assert [(t["treatment"], len(t["points"])) for t in found] == [("se2p", 6)]
    assert (found[0]["beta"], found[0]["low"], found[0]["p"]) == pytest.approx(
        (expected.estimate, expected.low, expected.p)
    )
    assert found[0]["beta"] > 0


@pytest.mark.parametrize("steps", [["many", "20"], ["0", "20"], ["20", "20"], ["", "-3"], ["nan", "inf"]])
def test_without_two_numbers_of_steps_there_is_no_trend_and_no_complaint(steps):
    rows = [r | {"steps": n} for n, block in zip(steps, "ab", strict=True) for r in rows_of(block=block)]

    assert checked(table(*rows))["trend"] == []


def test_a_block_of_several_steps_stands_on_no_trend():
    rows = [r | {"steps": 10 + i % 2} for i, r in enumerate(rows_of(block="a"))]
    rows += [r | {"steps": 50} for r in rows_of(block="b")]

    assert list(table(*rows).series) == ["b"]
    assert checked(table(*rows))["trend"] == []


def test_each_question_has_a_trend_of_its_own():
    rows = [
        r | {"steps": steps, "question": question}
        for question in ("Better?", "Sharper?")
        for steps in (10, 20)
        for r in rows_of(block=f"{steps}", seed=steps)
    ]

    assert [t["question"] for t in checked(table(*rows))["trend"]] == ["Better?", "Sharper?"]


def test_people_are_told_apart_by_their_state():
    votes = table(*(r | {"state": "finished" if r["participant"] < "p05" else "expired"} for r in rows_of()))

    assert votes.people("finished") == {f"p{p:02d}" for p in range(5)}
    assert votes.people("excluded") == frozenset()
    assert table(*rows_of()).people("finished") == frozenset()


def few_votes(seed):
    """Six votes by each of four people, so few that many a variance is 0 or cancels."""
    rng = np.random.default_rng(seed)
    cells = [(n, item, arm) for n in (10, 20) for item in range(6) for arm in ("se2p", "naive")]
    for p in range(4):
        own = rng.choice(len(cells), 5, replace=False)
        for k, at in enumerate([*own, own[0]]):
            steps, item, arm = cells[at]
            left, right = (arm, "baseline") if rng.random() < 0.5 else ("baseline", arm)
            yield {
                "participant": f"p{p}", "item": f"i{item}", "cluster": f"c{item % 3}",
                "left": left, "right": right, "choice": ("left", "right", "tie")[(p + k) % 3],
                "block": f"N = {steps}", "model": "DDPM", "steps": steps,
                "kind": "main" if k < 5 else "repeat",
            }  # fmt: skip


@pytest.mark.parametrize("seed", (151, 155, 302, 311, 355, 449, 498, 524, 618, 793, 988, 1143))
def test_the_order_of_votes_changes_no_figure(seed):
    rows, options = list(few_votes(seed)), Options(excluded={"p0": ["by hand"]}, planned_people=4)

    assert alike(checked(table(*rows), options), checked(table(*rows[::-1]), options))


def shared_seeds(rows, seed=lambda item: item % 5):
    """The same votes on prompts × 5 seeds."""
    for row in rows:
        item = int(row["item"].removeprefix("i"))
        yield row | {"cluster": f"prompt {item // 5}", "seed": seed(item)}


def test_seeds_that_units_share_widen_every_figure_of_a_block():
    rows = list(shared_seeds(rows_of(items=20, treatments=("se2p", "naive"))))
    found = checked(table(*rows))["blocks"]["all"]
    without = checked(table(*({k: v for k, v in row.items() if k != "seed"} for row in rows)))["blocks"][
        "all"
    ]

    assert (found["n_clusters"], found["n_seeds"], without["n_seeds"]) == (4, 5, 0)
    for name, p in found["preference"].items():
        assert p["n_seeds"] == 5
        assert "person, cluster and seed" in p["method"]
        assert p["se"] >= without["preference"][name]["se"]
        assert "low" in p["decided"] and p["decided"] != without["preference"][name]["decided"]
    errors, fewer = (block["bradley_terry"]["se_two_way"] for block in (found, without))
    assert all(one >= other for one, other in zip(errors, fewer, strict=True)) and errors != fewer
    widths, less = (np.subtract(block["jod"]["high"], block["jod"]["low"]) for block in (found, without))
    assert (widths >= less).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (list(rows_of(people=4)), "only 4 people:"),
        ([row | {"cluster": f"c{int(row['item'][1:]) % 3}"} for row in rows_of()], "only 3 clusters:"),
        ([row | {"seed": int(row["item"][1:]) % 2} for row in rows_of()], "only 2 seeds:"),
        ([row | {"seed": 0} for row in rows_of()], "only 1 seed:"),
    ],
)
def test_a_ranking_of_few_says_of_what_there_are_few(rows, said):
    assert checked(table(*rows))["blocks"]["all"]["bradley_terry"]["warning"].startswith(said)


def test_comparisons_across_blocks_know_the_seeds():
    """Each block has 10 prompts, the seeds are those of both."""
    rows = [
        row | {"cluster": row["item"], "seed": int(row["item"][1:]) % 3}
        for block, seed, share in (("a", 1, 0.55), ("b", 2, 0.7))
        for row in rows_of(seed=seed, block=block, share=share)
    ]
    rows = [row | {"steps": 10 if row["block"] == "a" else 100, "model": "m"} for row in rows]
    votes = table(*rows)
    found = checked(votes)

    y, person, item, group = [], [], [], []
    for row in rows:
        chosen = row[row["choice"]] if row["choice"] != "tie" else None
        y.append(0.5 if chosen is None else float(chosen == "se2p"))
        person.append(row["participant"])
        item.append(row["item"])
        group.append(int(row["block"] == "b"))
    seed = [int(name[1:]) % 3 for name in item]
    steps = [100 if g else 10 for g in group]
    (difference,) = found["contrasts"]
    assert difference["p"] == pytest.approx(contrast(y, person, item, group, seed).p)
    assert difference["p"] != pytest.approx(contrast(y, person, item, group).p)
    assert found["equality"]["se2p"]["p"] == pytest.approx(equality(y, group, person, item, seed).p)
    assert found["equality"]["se2p"]["df"] == [1, 2]
    (line,) = found["trend"]
    assert line["p"] == pytest.approx(trend(y, np.zeros(len(y)), steps, person, item, seed).p)


def test_an_item_of_two_seeds_is_refused_and_a_repeat_without_one_has_its_items():
    rows = list(shared_seeds(rows_of()))
    with pytest.raises(BadVote, match="has the seed '7' here and '0' before") as caught:
        table(*rows, rows[0] | {"participant": "another", "seed": 7})
    assert caught.value.column == "seed"

    again = [row | {"kind": "repeat", "choice": "left"} for row in rows[:20]]
    blank, known, missing = (table(*rows, *(r | {"seed": s(r)} for r in again)) for s in (
        lambda row: "", lambda row: row["seed"], lambda row: "NA",
    ))  # fmt: skip
    assert checked(blank) == checked(known) == checked(missing)


def test_spreads_of_items_that_share_seeds_come_with_a_warning():
    rows = list(shared_seeds(rows_of()))

    assert "of 5 seeds that some share" in variance(table(*rows))["all"]["se2p"]["warning"]
    assert "warning" not in variance(table(*rows_of()))["all"]["se2p"]


def test_a_column_of_seeds_that_no_two_units_share_changes_no_figure():
    rows = list(shared_seeds(rows_of(), seed=lambda item: item))
    bare = [{k: v for k, v in row.items() if k != "seed"} for row in rows]

    assert checked(table(*rows)) == checked(table(*bare))


def test_an_item_without_a_seed_shares_its_noise_with_no_other():
    blank = checked(table(*shared_seeds(rows_of(), seed=lambda item: "")))
    own = checked(table(*shared_seeds(rows_of(), seed=lambda item: f"its own {item}")))

    assert blank == own


def test_one_seed_of_all_prompts_has_a_share_and_a_reason():
    found = checked(table(*shared_seeds(rows_of(), seed=lambda item: 0)))["blocks"]["all"]["preference"][
        "se2p"
    ]

    assert found["share"] is not None and found["low"] is None
    assert "all votes come from one seed" in found["reason"]
    assert found["other_estimand"]["low"] is not None
