"""The balance of seats, over designs of every shape."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.seats import MAIN, REPEAT, TREATMENT, BlockDesign, Design, NotEnoughPairs, Planned, draw


@st.composite
def designs(draw_: st.DrawFn) -> Design:
    blocks, first = [], 100
    for _ in range(draw_(st.integers(1, 3))):
        pairs = draw_(st.integers(1, 14))
        blocks.append(BlockDesign(tuple(range(first, first + pairs)), draw_(st.integers(1, pairs))))
        first += pairs
    spare = sum(len(b.pairs) - b.comparisons for b in blocks)
    practice = draw_(st.integers(0, min(3, spare)))
    mains = sum(b.comparisons for b in blocks)
    return Design(
        tuple(blocks),
        questions=draw_(st.integers(1, 3)),
        same_for_all=draw_(st.booleans()),
        practice=practice,
        catches=draw_(st.integers(0, min(4, spare - practice))),
        repeats=draw_(st.integers(0, min(4, mains))),
    )


def mains(seat: list[Planned], block: int, question: int = 0) -> list[Planned]:
    return [t for t in seat if (t.kind, t.block, t.question) == (MAIN, block, question)]


some = settings(max_examples=60, deadline=None)


@some
@given(designs(), st.integers(0, 2**40), st.integers(1, 24))
def test_after_every_seat_all_pairs_are_shown_equally_often(design, seed, count):
    seats = draw(design, seed, count)

    for index, block in enumerate(design.blocks):
        times = Counter(dict.fromkeys(block.pairs, 0))
        for seat in seats:
            times.update(t.pair for t in mains(seat, index))
            if not design.same_for_all:
                assert max(times.values()) - min(times.values()) <= 1
        if design.same_for_all:
            assert (
                sorted(times.values())
                == [0] * (len(block.pairs) - block.comparisons) + [count] * block.comparisons
            )


@some
@given(designs(), st.integers(0, 2**40), st.integers(1, 24))
def test_within_a_seat_and_block_sides_differ_by_the_odd_one_which_alternates(design, seed, count):
    for number, seat in enumerate(draw(design, seed, count), start=1):
        for index, block in enumerate(design.blocks):
            for question in range(design.questions):
                shown = mains(seat, index, question)
                lefts = sum(t.left == TREATMENT for t in shown)
                odd = block.comparisons % 2
                more = (1 if number % 2 else -1) * (1 if question % 2 == 0 else -1)
                assert len(shown) == block.comparisons
                assert 2 * lefts - len(shown) == odd * more


@some
@given(designs(), st.integers(0, 2**40), st.integers(1, 24))
def test_every_pair_stands_left_and_right_equally_often_over_seats(design, seed, count):
    ahead: dict[tuple[int, int, int], int] = defaultdict(int)
    for seat in draw(design, seed, count):
        for trial in seat:
            if trial.kind == MAIN:
                ahead[trial.block, trial.question, trial.pair] += 1 if trial.left == TREATMENT else -1

        assert all(abs(difference) <= 1 for difference in ahead.values())


@some
@given(designs(), st.integers(0, 2**40), st.integers(1, 12))
def test_no_pair_comes_twice_for_a_person_and_question_but_as_a_swapped_repeat_later(design, seed, count):
    for seat in draw(design, seed, count):
        assert len(seat) == design.trials
        seen: dict[tuple[int, int], Planned] = {}
        repeated = set()
        for trial in seat:
            key = (trial.question, trial.pair)
            if trial.kind == MAIN:
                assert key not in seen
                seen[key] = trial
            if trial.kind == REPEAT:
                assert key not in repeated
                repeated.add(key)
                assert (seen[key].left, seen[key].right) == (trial.right, trial.left)


@some
@given(designs(), st.integers(0, 2**40), st.integers(1, 12))
def test_practice_and_catch_trials_spoil_both_arms_and_both_sides_alike(design, seed, count):
    for seat in draw(design, seed, count):
        compared = {(t.block, t.pair) for t in seat if t.kind == MAIN}
        for kind, expected in (("practice", design.practice), ("catch", design.catches)):
            spoilt = [t for t in seat if t.kind == kind]
            lefts = sum(t.left.startswith("spoilt-") for t in spoilt)
            treatments = sum(t.left.endswith(TREATMENT) for t in spoilt)
            assert len(spoilt) == expected
            assert abs(2 * lefts - expected) <= 1
            assert abs(2 * treatments - expected) <= 2
            assert all((t.block, t.pair) not in compared for t in spoilt)


@some
@given(designs(), st.integers(0, 2**40), st.integers(0, 10), st.integers(1, 10))
def test_seats_drawn_in_parts_are_those_drawn_at_once(design, seed, first, more):
    at_once = draw(design, seed, first + more)
    part = draw(design, seed, first)

    assert part + draw(design, seed, more, drawn=part) == at_once


def test_another_seed_gives_other_seats():
    design = Design((BlockDesign(tuple(range(40)), 20),))

    assert draw(design, 1, 3) != draw(design, 2, 3)


def test_the_order_of_questions_changes_from_seat_to_seat():
    design = Design((BlockDesign((1, 2), 2),), questions=2)

    assert [[t.question for t in seat] for seat in draw(design, 0, 2)] == [[0, 0, 1, 1], [1, 1, 0, 0]]


def test_more_comparisons_than_pairs_are_refused_with_what_is_there():
    with pytest.raises(NotEnoughPairs, match="3 comparisons need as many pairs, and there are 2"):
        BlockDesign((1, 2), 3)


def test_catch_trials_without_spare_pairs_are_refused():
    with pytest.raises(NotEnoughPairs, match="0 are left"):
        Design((BlockDesign((1, 2), 2),), catches=1)
