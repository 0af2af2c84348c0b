"""Prompts from a file: one a line, whatever else is in them."""

import pytest

from generation import forms, subjects
from generation.models import ImageModel

ODD = "a red\u2028rose \x0b in \x85 snow"


def test_a_line_ends_where_the_file_ends_it(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_bytes(f"{ODD}\r\n\r\n a cat \ra dog\n".encode())

    made = subjects.of({"prompts": str(file), "negative_prompt": "", "labels": None}, "prompts", {})

    assert [one["prompt"] for one in made] == [ODD, "a cat", "a dog"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_area_too(end):
    painter = ImageModel(name="painter", takes=ImageModel.Takes.PROMPTS)

    made = forms.subjects_of(painter, end.join([ODD, "", "a cat"]))

    assert [one.prompt for one in made] == [ODD, "a cat"]
