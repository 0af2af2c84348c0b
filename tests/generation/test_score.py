import csv
import io
import json
import os
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import skimage.data
from django.core.management import call_command, execute_from_command_line
from PIL import Image

from generation.engine import png
from generation.engine.folder import Folder, alone_in
from generation.scoring import alike, files, names, registry

from .scoring import weight_files

CAT = skimage.data.chelsea()[:100, :120]
CUP = skimage.data.coffee()[:100, :120]


@pytest.fixture(autouse=True)
def no_weights(settings, tmp_path):
    settings.WEIGHTS = tmp_path / "weights"


@pytest.fixture
def folder(tmp_path):
    """Two photographs."""
    made = tmp_path / "pictures"
    made.mkdir()
    (made / "cat.png").write_bytes(png.encode(CAT))
    (made / "cup.png").write_bytes(png.encode(CUP))
    return made


@pytest.fixture
def generated(tmp_path):
    """Two items as `generate` leaves them."""
    with Folder.open(tmp_path / "made", {"steps": 3}, set()) as made:
        for seed, sides in ((0, (CAT, CUP)), (1, (CUP, CUP))):
            images = {side: f"{seed}_{side}.png" for side in ("baseline", "se2p")}
            files = {name: png.encode(pixels) for name, pixels in zip(images.values(), sides, strict=True)}
            made.add(str(seed), files, {"images": images})
    return tmp_path / "made"


def score(folder, *more):
    said = io.StringIO()
    call_command("score", str(folder), *more, stdout=said, stderr=said)
    return said.getvalue()


def rows(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.reader(file))


def refused(capsys, *args):
    """The one line on stderr of a command line that is refused."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(["manage.py", "score", *map(str, args)])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (line,) = said.strip().splitlines()
    return line


def test_it_works(folder):
    assert (
        score(folder, "--metrics", "brightness,clipped") == f"4 scores of 2 items in {folder}/scores.csv.\n"
    )

    expected = registry.image_scores([CAT, CUP], ["brightness", "clipped"])
    assert rows(folder) == [
        ["item", "side", "metric", "value"],
        ["cat.png", "", "brightness", repr(expected["brightness"][0])],
        ["cat.png", "", "clipped", repr(expected["clipped"][0])],
        ["cup.png", "", "brightness", repr(expected["brightness"][1])],
        ["cup.png", "", "clipped", repr(expected["clipped"][1])],
    ]


def test_a_folder_is_scored_by_one_process_at_a_time(folder, capsys):
    """Two would write into one file."""
    score(folder, "--metrics", "brightness")
    before = rows(folder)

    with alone_in(folder):
        assert "another process" in refused(capsys, folder, "--metrics", "clipped")
    assert rows(folder) == before


@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", "a,b.png", 'a"b.png', "-a b.png"])
def test_names_of_files_come_back_out_of_the_table(folder, name):
    (folder / "cat.png").rename(folder / name)

    score(folder, "--metrics", "brightness")

    assert {row[0] for row in rows(folder)[1:]} == {name, "cup.png"}


def test_whole_numbers_of_32_bits_are_refused_and_16_bits_are_not(folder, capsys):
    deep = np.linspace(0, 65535, 12).reshape(3, 4)
    Image.fromarray(deep.astype(np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(deep.astype(np.uint16)).save(folder / "sixteen.tif")
    (folder / "sixteen.bmp").write_bytes(b"P5 4 3 65535 " + deep.astype(">u2").tobytes())
    score(folder, "--metrics", "brightness")
    values = {row[0]: float(row[3]) for row in rows(folder)[1:] if row[0].startswith("sixteen")}
    assert len(values) == 3
    assert all(value == pytest.approx(0.5, abs=0.01) for value in values.values())

    Image.fromarray(deep.astype(np.int32)).save(folder / "more.tif")

    assert "more.tif: holds whole numbers of 32 bits" in refused(capsys, folder)


def test_where_pictures_lie_in_folders_these_are_named(folder, capsys):
    inner = folder / "baseline"
    inner.mkdir()
    for path in folder.glob("*.png"):
        path.rename(inner / path.name)

    assert refused(capsys, folder).endswith("; give one of its folders: baseline.")


def test_a_generated_folder_has_its_sides_and_its_pairs(generated):
    score(generated, "--metrics", "contrast,drift")

    found = rows(generated)[1:]
    assert [row[:3] for row in found] == [
        [item, *rest]
        for item in ("0", "1")
        for rest in (["baseline", "contrast"], ["se2p", "contrast"], ["pair", "drift"])
    ]
    assert float(found[2][3]) == pytest.approx(registry.pair_scores([CAT], [CUP], ["drift"])["drift"][0])
    assert float(found[5][3]) == pytest.approx(1)


@pytest.fixture
def prompted(tmp_path):
    """Two seeds of one prompt, and one of another."""
    with Folder.open(tmp_path / "prompted", {"steps": 3}, set()) as made:
        for name, seed, prompt, pixels in (
            ("0_0", 0, "a cat", CAT),
            ("1_0", 1, "a cat", CAT[::-1]),
            ("0_1", 0, "a cup", CUP),
        ):
            images = {side: f"{name}_{side}.png" for side in ("baseline", "se2p")}
            content = png.encode(np.ascontiguousarray(pixels))
            made.add(
                name,
                dict.fromkeys(images.values(), content),
                {"prompt": prompt, "seed": seed, "images": images},
            )
    return tmp_path / "prompted"


def test_a_prompt_is_compared_with_each_side(prompted):
    score(prompted, "--metrics", "clip_score")

    found = {(item, side): float(value) for item, side, _, value in rows(prompted)[1:]}
    expected = registry.prompt_scores([CAT, CUP], ["a cat", "a cup"])
    assert len(found) == 6
    assert found["0_0", "baseline"] == pytest.approx(expected[0])
    assert found["0_1", "se2p"] == pytest.approx(expected[1])


def test_seeds_of_one_prompt_are_compared_whatever_the_block(prompted, monkeypatch):
    monkeypatch.setattr("generation.scoring.rows.BLOCK", 1)
    score(prompted, "--metrics", "seed_similarity")

    expected = alike.to_others(registry.embeddings([CAT, np.ascontiguousarray(CAT[::-1])]))
    assert [row[:3] for row in rows(prompted)[1:]] == [
        [item, "baseline", "seed_similarity"] for item in ("0_0", "1_0")
    ]
    assert [float(row[3]) for row in rows(prompted)[1:]] == pytest.approx(expected)


def test_by_default_prompts_and_seeds_are_scored_where_there_are_some(prompted, folder):
    score(prompted)
    score(folder)

    assert {"clip_score", "seed_similarity", "drift"} <= {row[2] for row in rows(prompted)[1:]}
    assert not {"clip_score", "seed_similarity", "drift"} & {row[2] for row in rows(folder)[1:]}


@pytest.mark.parametrize("metric", ["clip_score", "seed_similarity"])
def test_what_a_folder_lacks_for_a_metric_is_said(folder, capsys, metric):
    assert f"{metric} compares" in refused(capsys, folder, "--metrics", metric)


def test_another_open_clip_model_is_taken_for_drift(generated, capsys):
    assert "is no open_clip model: give local-dir:FOLDER" in refused(
        capsys, generated, "--metrics", "drift", "--clip", "nonsense"
    )
    assert "can't be loaded" in refused(
        capsys, generated, "--metrics", "drift", "--clip", f"local-dir:{generated}"
    )


def test_by_default_it_scores_the_default_metrics(folder, generated):
    score(folder)
    score(generated)

    attributes = {n for n in names.DEFAULT if names.METRICS[n].kind == "image" and not names.METRICS[n].pyiqa}
    assert {row[2] for row in rows(folder)[1:]} == attributes
    assert "drift" in {row[2] for row in rows(generated)[1:]}


def test_default_metrics_without_weights_are_named(folder, generated, settings, tmp_path):
    settings.WEIGHTS = tmp_path

    note = "Note: without musiq, clipiqa, nima, whose weights are missing: the command `weights list`\n"
    assert note in score(folder)
    assert note in score(generated)
    assert "whose weights" not in score(folder, "--metrics", "brightness")


def test_more_pictures_than_one_block_are_all_scored_alike(folder, monkeypatch):
    score(folder)
    whole = rows(folder)
    monkeypatch.setattr("generation.scoring.rows.BLOCK", 1)

    score(folder)

    found = rows(folder)
    assert [row[:3] for row in found] == [row[:3] for row in whole]
    assert [float(row[3]) for row in found[1:]] == pytest.approx([float(row[3]) for row in whole[1:]])


def test_a_reference_of_the_same_name_is_compared_with(folder, tmp_path):
    references = tmp_path / "references"
    references.mkdir()
    for name, pixels in (("cat.png", CAT), ("cup.png", CAT)):
        (references / name).write_bytes(png.encode(pixels))

    score(folder, "--reference", str(references), "--metrics", "psnr")

    found = {row[0]: float(row[3]) for row in rows(folder)[1:]}
    error = np.mean((CUP.astype(float) - CAT) ** 2)
    assert found["cup.png"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert found["cat.png"] > found["cup.png"]


def test_a_reference_that_is_not_there_is_refused(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()

    line = refused(capsys, folder, "--reference", tmp_path / "empty")

    assert "empty lacks cat.png (2 of 2 pictures have no reference)" in line
    assert "nowhere: no such folder." in refused(capsys, folder, "--reference", tmp_path / "nowhere")


def test_a_reference_of_another_size_is_refused(folder, tmp_path, capsys):
    references = tmp_path / "references"
    references.mkdir()
    for name in ("cat.png", "cup.png"):
        (references / name).write_bytes(png.encode(CAT[:50]))

    line = refused(capsys, folder, "--reference", references)

    assert "2 of 2 pictures can't be scored." in line
    for name in ("cat.png", "cup.png"):
        assert f"{name} is 120×100 and its reference 120×50: make the sizes equal." in line


def test_weights_of_ones_own_are_used(folder, tmp_path):
    own = weight_files.niqe(tmp_path / "mine.mat")

    score(folder, "--metrics", "niqe", "--weights", f"niqe={own}")

    assert [row[2] for row in rows(folder)[1:]] == ["niqe", "niqe"]


def test_a_metric_whose_weights_are_named_is_scored_by_default(folder, tmp_path):
    own = weight_files.niqe(tmp_path / "mine.mat")

    score(folder, "--weights", f"niqe={own}")

    assert {"brightness", "niqe"} <= {row[2] for row in rows(folder)[1:]}


def test_weights_that_are_not_there_or_not_used_are_refused(folder, tmp_path, capsys):
    own = weight_files.niqe(tmp_path / "mine.mat")

    assert f"niqe: {tmp_path}/typo.mat is no file" in refused(
        capsys, folder, "--weights", f"niqe={tmp_path}/typo.mat"
    )
    assert "--weights names niqe, which --metrics does not" in refused(
        capsys, folder, "--metrics", "brightness", "--weights", f"niqe={own}"
    )


def test_a_metric_that_cannot_be_computed_stops_no_other(folder, settings, tmp_path):
    settings.WEIGHTS = tmp_path

    said = score(folder, "--metrics", "brightness,musiq")

    assert "Note: 2 without musiq: musiq needs musiq_koniq_ckpt" in said
    assert {row[2] for row in rows(folder)[1:]} == {"brightness"}


def test_a_picture_too_small_for_a_metric_is_left_out_of_it(folder, tmp_path):
    (folder / "dot.png").write_bytes(png.encode(CAT[:1, :1]))
    own = weight_files.niqe(tmp_path / "mine.mat")

    said = score(folder, "--metrics", "brightness,niqe", "--weights", f"niqe={own}")

    assert "Note: 1 without niqe: niqe needs pictures of 96 pixels a side, not 1" in said
    assert [row[0] for row in rows(folder)[1:] if row[2] == "brightness"] == ["cat.png", "cup.png", "dot.png"]


def test_a_picture_that_a_metric_has_no_value_for_takes_none_from_the_others(folder):
    (folder / "black.png").write_bytes(png.encode(np.zeros_like(CAT)))

    said = score(folder, "--metrics", "piqe,brightness")

    assert "Note: 1 without piqe: piqe has no value for such a picture" in said
    assert [row[0] for row in rows(folder)[1:] if row[2] == "piqe"] == ["cat.png", "cup.png"]


def test_a_yardstick_that_fails_stops_no_other_metric(prompted, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(registry, "embeddings", broken)

    said = score(prompted, "--metrics", "seed_similarity,brightness")

    assert "Note: 2 without seed_similarity: out of memory" in said
    assert {row[2] for row in rows(prompted)[1:]} == {"brightness"}


def test_a_folder_in_the_place_of_the_scores_is_said_before_anything_is_scored(folder, capsys, monkeypatch):
    monkeypatch.setattr(registry, "image_scores", lambda *args, **options: pytest.fail("was scored"))
    (folder / "scores.csv").mkdir()

    said = refused(capsys, folder, "--metrics", "brightness")

    assert said.endswith("scores.csv is a folder, and a file is to be written there: move it away.")


def test_where_nothing_can_be_computed_nothing_is_written(folder, settings, tmp_path, capsys):
    settings.WEIGHTS = tmp_path

    assert "weights fetch musiq" in refused(capsys, folder, "--metrics", "musiq")
    assert sorted(path.name for path in folder.iterdir()) == ["cat.png", "cup.png"]


def deep_png(path, level):
    """A 2×2 PNG of 16-bit grey."""
    line = b"\0" + struct.pack(">2H", level, level)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", 2, 2, 16, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(2 * line)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def test_other_kinds_of_pixels_are_brought_to_rgb(tmp_path):
    Image.fromarray(np.full((2, 2), 51, np.uint8)).save(tmp_path / "grey.png")
    deep_png(tmp_path / "deep.png", 51 * 257)
    Image.new("RGBA", (2, 2), (0, 0, 0, 204)).save(
        tmp_path / "veil.png"
    )  # black, a fifth of white through it
    Image.new("RGB", (1, 1), (51, 51, 51)).save(tmp_path / "one.png")

    score(tmp_path, "--metrics", "brightness,saturation")

    found = {(row[0], row[2]): float(row[3]) for row in rows(tmp_path)[1:]}
    assert found == pytest.approx(
        {
            (name, metric): value
            for name in ("grey.png", "deep.png", "veil.png", "one.png")
            for metric, value in (("brightness", 0.2), ("saturation", 0.0))
        },
        abs=1e-9,
    )


def test_a_file_that_is_cut_off_is_refused_by_name_and_the_old_scores_stay(folder, capsys):
    score(folder)
    before = rows(folder)
    whole = (folder / "cup.png").read_bytes()
    (folder / "cup.png").write_bytes(whole[: len(whole) // 2])

    assert "cup.png: cannot be read" in refused(capsys, folder)
    assert rows(folder) == before
    assert not list(folder.glob(".*"))


def test_all_files_that_cannot_be_read_are_named_before_any_is_scored(folder, capsys, monkeypatch):
    monkeypatch.setattr(registry, "image_scores", lambda *_, **__: pytest.fail("it scored"))
    whole = (folder / "cup.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / os.fsdecode(b"name\xff.png")).write_bytes(whole)

    line = refused(capsys, folder)

    assert "5 of 7 pictures can't be scored." in line
    for said in (
        "cut.png: cannot be read (image file is truncated)",
        "empty.png: is no picture",
        "gone.png: is not there",
        "loop.png: cannot be read (Too many levels of symbolic links)",
        "name\\udcff.png': its name is not UTF-8",
    ):
        assert said in line


def test_of_many_bad_files_the_first_are_named(folder, capsys, monkeypatch):
    monkeypatch.setattr(files, "MOST_NAMED", 2)
    for name in "abcd":
        (folder / f"{name}.png").touch()

    line = refused(capsys, folder)

    assert "4 of 6 pictures" in line
    assert "b.png" in line
    assert "c.png" not in line
    assert line.endswith("And 2 more.")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_a_damaged_file_of_any_kind_is_named(tmp_path, kind):
    """What Pillow's readers raise for damage differs from place to place."""
    path = tmp_path / f"picture.{kind.lower()}"
    Image.fromarray(CAT[:20, :20]).save(path, kind)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:place] + b"\xff\x00\x13" + whole[place + 3 :])
        with suppress(files.BadPicture):
            files.decode(path)


def test_several_pictures_in_one_file_are_refused(folder, capsys):
    first, second = Image.fromarray(CAT), Image.fromarray(CUP)
    first.save(folder / "moving.webp", save_all=True, append_images=[second])
    first.save(folder / "pages.tif", save_all=True, append_images=[second])

    line = refused(capsys, folder)

    assert "moving.webp: holds 2 pictures; keep one." in line
    assert "pages.tif: holds 2 pictures; keep one." in line


def test_floating_point_numbers_are_refused(folder, capsys):
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(folder / "float.tif")

    assert "float.tif: holds floating-point numbers" in refused(capsys, folder)


def test_names_of_any_letters_are_kept(folder):
    (folder / "cat.png").rename(folder / "кот, 猫 é.png")

    score(folder, "--metrics", "brightness")

    assert {row[0] for row in rows(folder)[1:]} == {"cup.png", "кот, 猫 é.png"}


def test_a_file_that_is_no_picture_is_refused_by_name(folder, capsys):
    (folder / "cup.png").write_text("no picture")

    assert "cup.png: is no picture that can be read" in refused(capsys, folder)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path, capsys):
    assert "has no pictures" in refused(capsys, tmp_path)
    assert "nowhere: cannot be read as a folder" in refused(capsys, tmp_path / "nowhere")


def test_three_pictures_are_no_pair(folder, capsys):
    images = dict.fromkeys(("baseline", "one", "two"), "cat.png")
    (folder / "manifest.jsonl").write_text(json.dumps({"id": "0", "images": images}) + "\n")

    assert "drift is of the two pictures of a pair" in refused(capsys, folder, "--metrics", "drift")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"images": {}},
        {"images": ["cat.png"]},
        {"images": {"baseline": 5}},
        {"images": {"baseline": "cat.png"}, "label": [1]},
        {"images": {"baseline": "cat.png"}, "prompt": 5},
        {"images": {"\ud800": "cat.png"}},
        {"images": {"baseline": "cat.png"}, "id": "\ud800"},
    ],
)
def test_a_manifest_of_another_kind_is_refused(folder, capsys, entry):
    (folder / "manifest.jsonl").write_text(json.dumps({"id": "0", **entry}) + "\n")

    assert "an entry is no item with images" in refused(capsys, folder)


@pytest.mark.parametrize(
    "metrics, why",
    [
        ("beauty", "beauty is no metric; there are brightness"),
        ("drift", "drift is of the two pictures of a pair"),
        ("clip_score", "clip_score compares a picture with its prompt"),
        ("ssim", "give --reference DIR2"),
        (",", "No metrics are named"),
    ],
)
def test_metrics_that_make_no_sense_here_are_refused(folder, metrics, why, capsys):
    assert why in refused(capsys, folder, "--metrics", metrics)


@pytest.mark.parametrize("weights", ["niqe", "beauty=there.pth", "brightness=there.pth", "drift=there.pth"])
def test_weights_of_no_metric_are_a_usage_error(folder, weights):
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(["manage.py", "score", str(folder), "--weights", weights])
    assert caught.value.code == 2
