import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Picture
from PIL import ImageCms, PngImagePlugin

from generation import catalogue, claims, image_folders, importing, planning, removal, sources, tasks
from generation.conditions import NotAllowed
from generation.engine import png
from generation.image_folders import BadImages
from generation.importing import import_folder
from generation.models import Chunk, Experiment, Image, ImageModel, Item, Pair, Score

from .engine import pipelines
from .factories import experiment


@pytest.fixture(autouse=True)
def no_nudges(monkeypatch):
    """The broker of the tests must not fill with messages that nobody takes."""
    monkeypatch.setattr("generation.tasks._nudge", lambda task, times=1: None)


def pixels(value=0, size=(8, 6)):
    width, height = size
    return np.random.default_rng(value).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        image = Picture.fromarray(image)
    image.save(path, **options)


@pytest.fixture
def lab(tmp_path):
    """A lab's own samplers: three pictures of each of two, beside the baseline."""
    folder = tmp_path / "lab"
    for side, condition in enumerate(("baseline", "ours", "theirs")):
        for number in (1, 2, 10):
            save(folder / condition / f"{number}.png", pixels(100 * side + number))
    return folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder that `generate` made with the bundled model."""
    folder = tmp_path_factory.mktemp("generated") / "out"
    asked = ["--model", catalogue.STARTER, "--labels", "rose", "tulip", "--seeds", "3:5", "--steps", "2"]
    call_command("generate", "--out", str(folder), *asked, stdout=io.StringIO(), stderr=io.StringIO())
    return folder


@pytest.fixture
def copied(generated, tmp_path):
    folder = tmp_path / "copied"
    folder.mkdir()
    for file in generated.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def rewrite(folder, change):
    """Change every entry of a manifest."""
    file = folder / "manifest.jsonl"
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    for number, entry in enumerate(entries):
        change(number, entry)
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def faults(folder, **options):
    with pytest.raises(BadImages) as caught:
        import_folder(folder, "x", **options)
    assert not Experiment.objects.exists()
    assert not ImageModel.objects.exists()
    return str(caught.value)


@pytest.mark.django_db
def test_it_works(lab):
    made = import_folder(lab, "a lab's")

    assert [c.name for c in made.conditions.all()] == ["baseline", "ours", "theirs"]
    assert [(i.name, i.seed) for i in made.items.all()] == [("1", 0), ("2", 1), ("10", 2)]
    assert Pair.objects.count() == 6
    pair = Pair.objects.get(item__name="10", treatment__condition__name="theirs")
    assert pair.baseline.condition.name == "baseline"
    for image, side in ((pair.baseline, "baseline"), (pair.treatment, "theirs")):
        with image.open() as file:
            assert file.read() == (lab / side / "10.png").read_bytes()
        assert (image.width, image.height) == (8, 6)
    assert str(pair.item) == pair.item.subject == "10"


@pytest.mark.django_db
def test_what_was_imported_is_scored_like_any_other(lab):
    made = import_folder(lab, "a lab's")
    Experiment.objects.update(metrics=["brightness"])

    assert claims.claim(Chunk.Stage.IMAGES, "one") is None
    tasks.score_images()

    assert made.chunks.get().stage == Chunk.Stage.DONE
    assert Score.objects.filter(metric="brightness").count() == 9
    white = Picture.open(lab / "ours" / "1.png").convert("L")
    value = Score.objects.get(image__condition__name="ours", image__item__name="1").value
    assert value == pytest.approx(np.asarray(white).mean() / 255, abs=0.01)


@pytest.mark.django_db
def test_a_name_is_free_again_when_its_experiment_is_deleted(lab):
    kept = import_folder(lab, "the other")
    removal.begin(import_folder(lab, "ours"))
    removal.go_on()
    again = import_folder(lab, "ours")

    assert {str(item.model) for item in again.items.all()} == {"ours"}
    assert {str(item.model) for item in kept.items.all()} == {"the other"}


@pytest.mark.django_db
def test_its_images_are_cut_into_chunks_that_fit_into_memory(lab, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK_PIXELS", 2 * 3 * 8 * 6)

    made = import_folder(lab, "a lab's")

    assert list(made.chunks.values_list("first", "last")) == [(0, 1), (2, 2)]
    assert [chunk.images.count() for chunk in made.chunks.all()] == [6, 3]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "options"), [("a.jpg", {"quality": 90}), ("a.jpeg", {}), ("a.webp", {"lossless": True})]
)
def test_other_formats_are_kept_as_png_with_the_same_pixels(tmp_path, name, options):
    for side in ("baseline", "ours"):
        save(tmp_path / side / name, pixels(len(side)), **options)

    import_folder(tmp_path, "x")

    for image in Image.objects.select_related("condition"):
        with image.open() as file:
            kept = file.read()
        shown = np.asarray(Picture.open(tmp_path / image.condition.name / name).convert("RGB"))
        assert (np.asarray(Picture.open(io.BytesIO(kept))) == shown).all()
        assert kept == png.encode(shown)


@pytest.mark.django_db
def test_a_png_that_holds_more_than_pixels_loses_it(tmp_path):
    told = PngImagePlugin.PngInfo()
    told.add_text("prompt", "made by the treatment")
    for side in ("baseline", "ours"):
        save(tmp_path / side / "a.png", pixels(), pnginfo=told)

    import_folder(tmp_path, "x")

    for image in Image.objects.all():
        with image.open() as file:
            kept = file.read()
        assert b"treatment" not in kept
        assert kept == png.encode(pixels())


@pytest.mark.django_db
def test_grey_pictures_become_rgb_and_turned_ones_upright(tmp_path):
    turned = Picture.Exif()
    turned[0x0112] = 6
    for side in ("baseline", "ours"):
        save(tmp_path / side / "a.png", Picture.fromarray(pixels()[:, :, 0]))
        save(tmp_path / side / "b.jpg", pixels(), exif=turned)

    import_folder(tmp_path, "x")

    assert set(Image.objects.values_list("item__name", "width", "height")) == {("a", 8, 6), ("b", 6, 8)}
    grey = Image.objects.filter(item__name="a").first()
    with grey.open() as file:
        assert Picture.open(file).mode == "RGB"


@pytest.mark.django_db
def test_files_of_file_managers_are_left_aside(lab):
    for name in (".DS_Store", "Thumbs.db"):
        (lab / name).write_bytes(b"x")
        (lab / "ours" / name).write_bytes(b"x")
    (lab / "__MACOSX").mkdir()

    assert import_folder(lab, "x").conditions.count() == 3


@pytest.mark.django_db
def test_scores_of_a_folder_are_left_aside(lab):
    (lab / "scores.csv").write_bytes(b"x")
    (lab / "ours" / "scores.csv").write_bytes(b"x")

    assert import_folder(lab, "x").conditions.count() == 3


def animated():
    frames = [Picture.fromarray(pixels(n)) for n in range(2)]
    return frames[0], {"save_all": True, "append_images": frames[1:]}


def p3():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return {"icc_profile": profile.tobytes()}


BAD_PICTURES = {
    "transparent": (".png", Picture.new("RGBA", (8, 6)), {}, "transparency"),
    "transparent grey": (".png", Picture.new("LA", (8, 6)), {}, "transparency"),
    "one colour transparent": (
        ".png",
        Picture.new("RGB", (8, 6)),
        {"transparency": (0, 0, 0)},
        "transparency",
    ),
    "transparent WebP": (".webp", Picture.new("RGBA", (8, 6), (1, 2, 3, 4)), {}, "transparency"),
    "palette": (".png", Picture.new("P", (8, 6)), {}, "palette"),
    "bits": (".png", Picture.new("1", (8, 6)), {}, "1 bit a channel"),
    "16-bit grey": (".png", Picture.new("I;16", (8, 6)), {}, "16 bits"),
    "CMYK": (".jpg", Picture.new("CMYK", (8, 6)), {}, "CMYK"),
    "animated PNG": (".png", *animated(), "animated"),
    "animated WebP": (".webp", *animated(), "animated"),
    "another profile": (".png", Picture.new("RGB", (8, 6)), p3(), "sRGB"),
    "too wide": (".png", Picture.new("L", (10_001, 1)), {}, "10001 × 1"),
    "misnamed": (".png", Picture.new("RGB", (8, 6)), {"format": "JPEG"}, "named as PNG but is JPEG"),
    "another format": (".png", Picture.new("RGB", (8, 6)), {"format": "BMP"}, "no PNG, JPEG or WebP"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_picture_of_another_kind_is_refused_by_name(lab, kind):
    ending, image, options, says = BAD_PICTURES[kind]
    for side in ("baseline", "ours", "theirs"):
        save(lab / side / f"x{ending}", pixels())
    save(lab / "ours" / f"x{ending}", image, **options)

    said = faults(lab)

    assert f"ours/x{ending}: " in said
    assert says in said


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width, height, depth=8, colours=2):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))


def raw_png(width, height, depth, rows):
    parts = [header(width, height, depth), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BROKEN = {
    "cut off": (png.encode(pixels())[:-40], "broken"),
    "empty": (b"", "no PNG, JPEG or WebP"),
    "text": (b"hello", "no PNG, JPEG or WebP"),
    "16 bits a channel": (raw_png(8, 6, 16, (b"\0" + bytes(48)) * 6), "16 bits"),
    "a bomb": (raw_png(60_000, 60_000, 8, b"\0" * 1000), "at most 10,000 pixels a side"),
    "a bomb of one side": (raw_png(1, 2**31 - 1, 8, b"\0" * 1000), "at most 10,000 pixels a side"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_by_name(lab, kind):
    data, says = BROKEN[kind]
    (lab / "theirs" / "2.png").write_bytes(data)

    said = faults(lab)

    assert "theirs/2.png: " in said
    assert says in said


@pytest.mark.django_db
def test_what_is_missing_is_listed_with_who_has_it(lab):
    (lab / "ours" / "2.png").unlink()
    (lab / "baseline" / "10.png").rename(lab / "baseline" / "11.png")

    said = faults(lab)

    assert "ours/2.png: is missing, but baseline has it" in said
    assert "baseline/10.png: is missing, but ours has it" in said
    assert "theirs/11.png: is missing, but baseline has it" in said


@pytest.mark.django_db
def test_the_pictures_of_an_item_are_of_one_size(lab):
    save(lab / "ours" / "2.png", pixels(size=(6, 8)))
    for side in ("baseline", "ours", "theirs"):
        save(lab / side / "10.png", pixels(size=(4, 4)))  # another item may have another

    said = faults(lab)

    assert "ours/2.png 6 × 8" in said
    assert "10.png" not in said


@pytest.mark.django_db
def test_twenty_faults_are_listed_and_the_others_counted(lab):
    for number in range(100, 125):
        save(lab / "ours" / f"{number}.png", pixels())

    said = faults(lab)

    assert len(said.splitlines()) == 22
    assert "… and 30 more." in said


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "baseline").rename(f / "Baseline"), "Baseline"),
        (lambda f: (f / "notes.txt").write_text("x"), "notes.txt"),
        (lambda f: (f / "ours" / "notes.txt").write_text("x"), "ours/notes.txt"),
        (lambda f: (f / "ours" / "more").mkdir(), "ours/more"),
        (lambda f: (f / "ours").rename(f / ("x" * 101)), "at most 100 printable"),
        (lambda f: (f / "ours").rename(f / "a\nb"), "printable"),
        (lambda f: [save(f / s / "2.jpg", pixels()) for s in ("baseline", "ours", "theirs")], "same name"),
        (lambda f: [p.unlink() for p in f.glob("*/*")], "No folder holds a picture"),
        (lambda f: f.rename(f.parent / "elsewhere"), "no such folder"),
    ],
)
def test_a_folder_of_another_shape_is_refused_with_what_is_wrong(lab, change, says):
    change(lab)

    assert says in faults(lab)


@pytest.mark.django_db
def test_more_pairs_than_an_experiment_holds_are_refused(lab, monkeypatch):
    monkeypatch.setattr(image_folders, "MOST_PAIRS", 5)

    assert "6 pairs; at most 5" in faults(lab)


@pytest.mark.django_db
def test_a_name_is_checked_before_any_picture_is_read(lab):
    experiment(name="taken")
    (lab / "ours" / "2.png").write_bytes(b"")

    for name in ("taken", "", "x" * 101, "a\nb"):
        with pytest.raises(NotAllowed, match="name"):
            import_folder(lab, name)


@pytest.mark.django_db
def test_no_row_is_left_when_one_cannot_be_written(lab, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(Pair.objects, "bulk_create", broken)

    with pytest.raises(RuntimeError):
        import_folder(lab, "x")
    assert not Experiment.objects.exists()
    assert not Item.objects.exists()
    assert not ImageModel.objects.exists()


@pytest.mark.django_db
def test_a_folder_of_generate_brings_seeds_labels_recipes_and_its_model(generated):
    model = catalogue.starter()

    made = import_folder(generated, "from a folder")

    assert (made.steps, made.conditions.count(), ImageModel.objects.count()) == ([2], 2, 1)
    assert {(i.seed, i.subject) for i in made.items.all()} == {
        (seed, label) for seed in (3, 4) for label in ("rose", "tulip")
    }
    assert made.items.first().model == model
    recipe = made.conditions.get(name="se2p").recipe
    assert (recipe["sampler"], recipe["rho"]) == ("se2p", 1.35)
    image = Image.objects.get(item__seed=3, item__label=made.items.first().label, condition__name="se2p")
    with image.open() as file:
        assert file.read() == (generated / "3_0_se2p.png").read_bytes()
    assert made.chunks.get().manifest["environment"]["threads"]


@pytest.mark.django_db
def test_a_folder_of_a_model_that_is_not_here_gets_one_that_says_it_was_imported(copied):
    rewrite(copied, lambda _, entry: entry["model"].update(source="somewhere/else"))

    made = import_folder(copied, "from afar")

    model = made.items.first().model
    assert (model.name, model.source, model.takes) == ("from afar", "imported:somewhere/else", "labels")
    with pytest.raises(sources.BadModel, match="made elsewhere"):
        sources.describe(model.source)
    with pytest.raises(NotAllowed, match="imported"):
        planning.recipes_of(made)


def unfinished(_, entry):
    entry["parameters"]["items"] = "9 items, SHA-256 0"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (unfinished, "4 of 9 items"),
        (lambda n, e: e.update(seed=3, label=0), "is the same item"),
        (lambda n, e: e.update(seed=-1), "seed = -1"),
        (lambda n, e: e.update(seed="3"), "seed = 3"),
        (lambda n, e: e.update(label=-1), "label = -1"),
        (lambda n, e: e.update(prompt=None), "not as `manage.py generate` writes it"),
        (lambda n, e: e.pop("images"), "not as `manage.py generate` writes it"),
        (lambda n, e: e.update(images=[]), "not as `manage.py generate` writes it"),
        (lambda n, e: e["images"].update(se2p="../../secret.png"), "not as `manage.py generate` writes it"),
        (lambda n, e: e["model"].update(commit=str(n)), "the same for all items"),
        (lambda n, e: e["model"].update(family="gan"), "not as `manage.py generate` writes it"),
        (lambda n, e: e["parameters"]["conditions"]["se2p"].update(rho=-1), "rho = -1"),
        (lambda n, e: e["parameters"].update(conditions={}), "baseline and at least one more"),
        (lambda n, e: e["parameters"].update(guidance="high"), "guidance = high"),
        (lambda n, e: e["files"].update({"3_0_se2p.png": "0" * 64}), "3_0_se2p.png: is not the file"),
    ],
)
def test_a_manifest_that_is_none_of_generate_is_refused(copied, change, says):
    rewrite(copied, change)

    assert says in faults(copied)


@pytest.mark.django_db
def test_a_changed_file_a_strange_one_and_a_number_of_steps_are_refused(copied):
    with pytest.raises(NotAllowed, match="steps"):
        import_folder(copied, "x", steps=20)
    save(copied / "3_0_baseline.png", pixels(size=(32, 32)))
    assert "3_0_baseline.png: is not the file" in faults(copied)
    (copied / "notes.txt").write_text("x")
    assert "notes.txt: is not in manifest.jsonl" in faults(copied)


@pytest.mark.django_db
def test_models_of_imported_images_are_not_offered_for_more(admin_client, lab):
    import_folder(lab, "a lab's")
    model = ImageModel.objects.get()

    page = admin_client.get("/admin/generation/experiment/add/").content.decode()

    assert "a lab&#x27;s" not in page
    with pytest.raises(NotAllowed, match="imported"):
        planning.Plan(
            name="x",
            parts=[planning.crossed(model, [planning.Subject()], [0])],
            steps=[2],
            recipes=[planning.BASELINE, planning.Recipe(sampler="se2p")],
        )


@pytest.mark.django_db
def test_an_imported_experiments_page_says_so(admin_client, lab):
    made = import_folder(lab, "mine")

    page = admin_client.get(made.get_absolute_url()).content.decode()

    assert "<div>ours: made elsewhere</div>" in page
    assert "3 of mine; told apart by their files&#x27; names" in page
    assert "9 of 9 images made" in page
    assert "10" in admin_client.get("/admin/generation/pair/").content.decode()


@pytest.mark.django_db
def test_two_imports_of_one_model_name_are_told_apart(lab):
    ImageModel.objects.create(name="x", source="org/x")

    import_folder(lab, "x")

    assert set(ImageModel.objects.values_list("name", flat=True)) == {"x", "x (2)"}


@pytest.mark.django_db
def test_the_command_takes_a_folder_and_says_where_it_is_shown(lab):
    said = io.StringIO()

    call_command("import_images", str(lab), "--steps", "50", stdout=said)

    made = Experiment.objects.get(name="lab")
    assert made.steps == [50]
    assert "6 pairs taken as 'lab'" in said.getvalue()
    assert made.get_absolute_url() in said.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--name", "taken"], "name = taken: allowed is a name that no experiment has yet. Give another"),
        (["--name", ""], "name = : allowed is 1 to 100"),
        (["--steps", "0"], "steps = 0: allowed is"),
    ],
)
def test_the_command_refuses_in_one_line(lab, arguments, says):
    experiment(name="taken")

    with pytest.raises(CommandError) as caught:
        call_command("import_images", str(lab), *arguments)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Experiment.objects.count() == 1


def test_no_torch_is_needed():
    script = (
        "import django; django.setup(); import sys, generation.importing; sys.exit('torch' in sys.modules)"
    )
    root = Path(importing.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", script], cwd=root, check=False).returncode == 0


@pytest.mark.django_db
def test_its_images_are_made_of_real_pipelines_too(tmp_path):
    """A model whose folder is no starter is found again by its source."""
    folder = str(pipelines.ddpm(tmp_path / "model"))
    row = ImageModel.objects.create(name="mine", source=folder, family="ddpm")
    asked = ["--model", folder, "--seeds", "0:2", "--steps", "2", "--raw"]
    out = str(tmp_path / "out")
    call_command("generate", "--out", out, *asked, stdout=io.StringIO(), stderr=io.StringIO())

    assert import_folder(Path(out), "x").items.first().model == row
