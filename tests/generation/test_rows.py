"""Text of every kind through CSV and back."""

import csv
import io

import pytest

from generation.rows import writer


@pytest.mark.parametrize("text", ["plain", "a\rb", "\r", "a\r\nb", "a\nb", 'a"b', "a,b", "", " a "])
def test_a_row_comes_back_as_it_was_written(text):
    out = io.StringIO()
    write = writer(out)

    write([text, 1, None, 0.1])
    write(["next", 2, "x", -1e-9])

    read = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert read == [[text, "1", "", "0.1"], ["next", "2", "x", "-1e-09"]]
