"""A plain CSV read by its bytes gives what the csv module gives."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.statistics import plain


def columns(text, width=2, separator=","):
    found = plain.columns(text.encode(), separator, width, range(width))
    return [[labels[code] for code in codes] for codes, labels in found.values()]


def test_it_works():
    assert columns("a,b\nx,1\ny,2\nx,\n") == [["x", "y", "x"], ["1", "2", ""]]


CELL = st.text(st.characters(codec="utf-8", exclude_characters='",\r\n\0'), max_size=70)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=30).filter(lambda rows: all(map(any, rows))))
def test_it_is_what_the_csv_module_reads(rows):
    text = "a,b\n" + "".join(f"{one},{other}\n" for one, other in rows)
    expected = list(csv.reader(io.StringIO(text, newline="")))[1:]

    assert columns(text) == [list(column) for column in zip(*expected, strict=True)]


@pytest.mark.parametrize("length", [7, 8, 9, 15, 16, 17, 31, 32, 33, 200])
def test_labels_that_differ_only_at_their_end_are_two(length):
    one, other = "x" * length, "x" * (length - 1) + "y"

    assert columns(f"a,b\n{one},1\n{other},1\n{one}z,1\n")[0] == [one, other, one + "z"]


def test_labels_stand_in_order_of_appearance():
    rows = [f"item-{(7 * i) % 5000:05d},1" for i in range(6000)]
    (codes, labels) = plain.columns(("a,b\n" + "\n".join(rows)).encode(), ",", 2, [0])[0]

    assert labels == list(dict.fromkeys(row[:-2] for row in rows))
    assert np.array_equal(codes[:5000], np.arange(5000))


def test_a_missing_last_line_end_and_windows_ones_change_nothing():
    assert columns("a,b\r\nx,1\r\ny,2") == columns("a,b\nx,1\ny,2\n")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n", "a,b", "", "a,b\nx\n", "a,b\nx,1\n\ny,2\n", "a,b\n,\n", "a,b\nx,1,2\ny\n", "a,b\ny\nx,1,2\n",
        'a,b\n"x",1\n', "a,b\nx\0,1\n", "a,b\nx\ry,1\n",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_csv_module(text):
    with pytest.raises(plain.NotPlain):
        columns(text)
