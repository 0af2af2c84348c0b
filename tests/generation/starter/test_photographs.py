from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from generation.starter.photographs import BadData, Photograph, crops, decode, find, middle

Make = Callable[..., Path]


def test_every_20th_photograph_of_a_class_is_held_out(photographs: Make) -> None:
    collection = find([photographs(rose=41, tulip=19)])

    assert collection.classes == ("rose", "tulip")
    assert [photo.path.name for photo in collection.held_out] == ["020.png", "040.png"]
    assert len(collection.training) == 58
    assert not set(collection.training) & set(collection.held_out)


def test_classes_of_all_folders_share_one_list_of_labels(photographs: Make) -> None:
    collection = find([photographs("one", tulip=2, cat=1), photographs("two", cat=3)])

    labels = dict.fromkeys(range(2), 0)
    for photo in collection.training:
        labels[photo.label] += 1
    assert collection.classes == ("cat", "tulip")
    assert labels == {0: 4, 1: 2}


def test_a_folder_may_say_where_its_photographs_come_from(photographs: Make) -> None:
    folder = photographs(rose=1)
    (folder / "ORIGIN.md").write_text("A garden.\n")

    assert find([folder]).origins == ("A garden.",)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=f"{tmp_path} holds no class folders; put the photographs in a folder"):
        find([tmp_path])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="nowhere is not a folder"):
        find([tmp_path / "nowhere"])


def test_a_class_without_photographs_is_refused(photographs: Make) -> None:
    folder = photographs(rose=1)
    (folder / "tulip").mkdir()
    (folder / "tulip" / "notes.txt").write_text("none yet")

    with pytest.raises(BadData, match=r"tulip holds no photographs \(.bmp, .jpeg, .jpg, .png, .webp\)"):
        find([folder])


def test_a_damaged_photograph_is_refused_by_name(photographs: Make) -> None:
    folder = photographs(rose=2)
    broken = folder / "rose" / "001.png"
    broken.write_bytes(broken.read_bytes()[:60])

    with pytest.raises(BadData, match=r"001\.png can't be read as an image"):
        decode(find([folder]).training, 32)


def test_the_middle_square_is_decoded(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = (10, 20, 30)
    Image.fromarray(picture).save(tmp_path / "a.png")

    images, labels = decode([Photograph(tmp_path / "a.png", 3)], 20)

    assert (images == torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)).all()
    assert labels.tolist() == [3]


def test_a_crop_is_a_part_of_its_image_or_of_its_mirror_image() -> None:
    images = torch.randint(256, (64, 3, 6, 7), dtype=torch.uint8)

    cropped = crops(images, 5, torch.Generator().manual_seed(0))

    kinds = set()
    for image, crop in zip(images, cropped, strict=True):
        found = [
            (top, left, mirrored)
            for top in range(2)
            for left in range(3)
            for mirrored in (False, True)
            if torch.equal(_part(image, top, left, mirrored), crop)
        ]
        assert len(found) == 1
        kinds.update(found)
    assert len(kinds) == 12


def _part(image: torch.Tensor, top: int, left: int, mirrored: bool) -> torch.Tensor:
    part = image[:, top : top + 5, left : left + 5]
    return part.flip(2) if mirrored else part


def test_the_middle_leaves_equal_borders() -> None:
    image = torch.arange(36).view(1, 6, 6)

    assert middle(image, 4).flatten()[[0, -1]].tolist() == [7, 28]
