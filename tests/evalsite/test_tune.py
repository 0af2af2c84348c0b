"""`manage.py tune` from a model's folder to the report, on small models of random weights."""

import errno
import html
import io
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from PIL import Image

from evalsite import asked, tune, tune_report
from evalsite.drawing import Gallery
from evalsite.management.commands import tune as tune_command
from generation import searching, tuning
from generation.conditions import Condition, Sampler
from generation.engine import driver, folder, png
from generation.engine.families import Item, load
from generation.engine.folder import alone_in, read_manifest
from generation.scoring.registry import NO_WEIGHTS
from studies import report
from studies.statistics.sets import mmd2_difference
from tests.generation.engine import pipelines

SMALL = (
    "--references", "8", "--reference-steps", "6", "--pilot", "8", "--judge", "9", "--tries", "5",
)  # fmt: skip
PLAIN = Condition(sampler=Sampler.DDPM, steps=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    return str(pipelines.ddpm(tmp_path_factory.mktemp("flowers"), classes=True))


def tuned(model, out, *more, steps="2", take=SMALL):
    said = io.StringIO()
    call_command("tune", "--model", model, "--out", str(out), "--steps", steps, *take, *more,
                 stdout=said, stderr=said)  # fmt: skip
    return said.getvalue()


@pytest.fixture(scope="module")
def run(flowers, tmp_path_factory):
    """A whole run on two numbers of steps: what was found, where, and what was said."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    said = tuned(flowers, out, steps="2,4")
    return json.loads((out / "tune.json").read_text()), out, said


def test_every_arm_is_judged_beside_se2p_at_its_best(run):
    found, _, _ = run
    one = found["steps"][0]
    arms = {arm["name"]: arm for arm in one["judged"]}

    assert one["judged"][0]["name"] == "se2p"
    assert {"baseline", "scaled", "se2p-noise", "gamma-0", "fixed-large", "ddim", "dpm-solver", "baseline-2n",
            "scaled-2n", "schedule", "paper"} <= set(arms)  # fmt: skip
    assert (arms["se2p"]["evaluations"], arms["se2p"]["sequential"]) == (4, 2)
    assert (arms["baseline-2n"]["evaluations"], arms["baseline-2n"]["sequential"]) == (4, 4)
    best = min((p for p in one["pilots"] if p["parameter"] == "rho"), key=lambda p: p["distance"])
    assert arms["se2p"]["condition"] == best["condition"]
    for pilot in one["pilots"]:
        assert len(pilot["tried"]) <= 5
        assert pilot["distance"] == min(distance for _, distance in pilot["tried"])


def taken_up(flowers, out):
    """A tuner of the folder, with its reference."""
    tuner = tuner_of(flowers, out)
    slow = Condition(sampler=Sampler.DDPM, steps=6)
    return tuner, tuner._near(tuner.gallery.images(slow, tuner.asked.items(asked.REFERENCE_SEEDS, 8)))


def test_the_difference_is_that_of_the_images_in_the_folder(run, flowers):
    found, out, _ = run
    one = found["steps"][0]
    tuner, near = taken_up(flowers, out)
    items = tuner.asked.items(asked.JUDGE_SEEDS, 9)
    se2p, plain = (
        tuner._features(tuner.gallery.images(Condition.from_json(arm["condition"]), items))
        for arm in one["judged"]
        if arm["name"] in ("se2p", "baseline")
    )
    arm = next(arm for arm in one["judged"] if arm["name"] == "baseline")

    by_hand = mmd2_difference(plain, se2p, near.features)

    assert arm["difference"] == pytest.approx(by_hand.difference, rel=1e-9)
    assert (arm["low"], arm["high"]) == pytest.approx((by_hand.low, by_hand.high), rel=1e-9)
    assert arm["similarity"]["mean"] == pytest.approx(1)


def test_what_images_turned_out_to_be_stands_beside_what_was_predicted(run, flowers):
    found, out, _ = run
    one = found["steps"][0]
    arms = {arm["name"]: arm for arm in one["judged"]}
    toned = [arm for arm in one["judged"] if arm["predicted"]]
    report = tune_report.sections(found)[1]

    assert arms["baseline"]["measured"]["drift"] == arms["baseline-2n"]["measured"]["drift"] == 0
    assert all(arm["measured"]["drift"] > 0 for arm in one["judged"][3:6])
    assert all(arm["measured"]["variance"] > 0 for arm in one["judged"])
    tuner = tuner_of(flowers, out)
    slow = Condition(sampler=Sampler.DDPM, steps=6)
    near, own, plain = (
        np.stack(tuner.gallery.images(condition, tuner.asked.items(seed, count))) / 127.5 - 1
        for condition, seed, count in (
            (slow, asked.REFERENCE_SEEDS, 8),
            (Condition.from_json(arms["ddim"]["condition"]), asked.JUDGE_SEEDS, 9),
            (Condition.from_json(arms["baseline"]["condition"]), asked.JUDGE_SEEDS, 9),
        )
    )
    came = arms["ddim"]["measured"]
    assert came["brightness"] == pytest.approx(own.mean() - near.mean(), abs=1e-6)
    assert came["drift"] == pytest.approx(((own - plain) ** 2).mean() ** 0.5, rel=1e-6)
    assert came["variance"] * found["reference"]["variance"] == pytest.approx(
        own.reshape(9, -1).var(0, ddof=1).sum(), rel=1e-5
    )
    assert -1 <= one["rank_correlation"] <= 1
    assert [row[0] for row in report.tables[1].rows] == [arm["words"] for arm in toned]
    assert f"{one['rank_correlation']:.2f}" in (out / "report.md").read_text()


def tuner_of(model, out, **asked):
    subjects = [{"label": label} for label in load(model).labels]
    some = {"steps": [2, 4], "references": 8, "reference_steps": 6, "pilot": 8, "judge": 9, "tries": 5}
    wanted = tune.Asked(subjects=subjects, **(some | asked))
    gallery = Gallery(load(model), out / "images", said=lambda text: None)
    return tune.Tuner(gallery, wanted, NO_WEIGHTS, said=lambda text: None)


def test_every_image_has_a_seed_of_its_own_and_subjects_take_turns():
    subjects = [{"label": label} for label in (4, 1, 3)]
    wanted = asked.Asked(steps=[2], subjects=subjects)

    draws = wanted.draws(asked.PILOT_SEEDS, 8)

    assert [draw["seed"] - asked.PILOT_SEEDS for draw in draws] == list(range(8))
    assert [draw["label"] for draw in draws] == [4, 1, 3, 4, 1, 3, 4, 1]
    assert wanted.draws(asked.PILOT_SEEDS, 5) == draws[:5]


@pytest.mark.parametrize(
    ("subjects", "together"),
    [
        ([{}], 8),
        ([{"label": label} for label in range(5)], 8),
        ([{"prompt": "a cat"}], 8),
        ([{"prompt": prompt} for prompt in ("a cat", "a dog", "a cup")], 3),
    ],
)
def test_intervals_leave_out_an_image_and_with_several_prompts_a_prompt(subjects, together):
    items = asked.Asked(steps=[2], subjects=subjects).items(asked.JUDGE_SEEDS, 8)

    assert len(set(tune._groups(items))) == together


def test_an_offset_of_one_step_is_not_tried_twice():
    wanted = asked.Asked(steps=[20, 50], subjects=[{}], offsets=[1, "step", 50])

    assert wanted.offsets_at(20, 1000) == [1, 50]
    assert wanted.offsets_at(50, 1000) == [1, "step", 50]


def test_a_run_has_each_setting_once_where_two_offsets_are_one(flowers, tmp_path):
    tuned(flowers, tmp_path / "out", "--offsets", "step,500")

    one = json.loads((tmp_path / "out" / "tune.json").read_text())["steps"][0]
    assert [p["condition"]["offset"] for p in one["pilots"] if p["parameter"] == "rho"] == [500, 500]
    assert one["map"]["offsets"] == [500]


def test_a_run_draws_as_many_images_together_as_one_says(flowers, tmp_path):
    def sizes(out, *more):
        tuned(flowers, out, *more)
        return {len(entry["batch"]) for path in (out / "images").iterdir() for entry in read_manifest(path)}

    assert sizes(tmp_path / "one", "--batch", "4") == {4, 1}  # eight references and pilots, nine judges
    assert sizes(tmp_path / "all", "--batch", "64") == {8, 9}
    assert "--batch 64" in (tmp_path / "all" / "report.md").read_text()


def test_more_subjects_than_images_are_taken_evenly():
    wanted = asked.Asked(steps=[2], subjects=[{"label": label} for label in range(1000)])

    labels = [draw["label"] for draw in wanted.draws(0, 64)]

    assert len(set(labels)) == 64
    assert max(np.diff([*labels, 1000])) <= 16


def test_a_folder_keeps_the_number_that_is_drawn_together(flowers, tmp_path):
    tuned(flowers, tmp_path / "out", "--batch", "4")
    before = (tmp_path / "out" / "report.md").read_text()

    with pytest.raises(CommandError, match="batch"):
        tuned(flowers, tmp_path / "out", "--batch", "8")
    assert (tmp_path / "out" / "report.md").read_text() == before


@pytest.mark.parametrize("batch", ["0", "-1", "many"])
def test_a_batch_that_is_none_is_refused(flowers, tmp_path, batch):
    with pytest.raises(CommandError, match="batch"):
        tuned(flowers, tmp_path / "out", f"--batch={batch}")
    assert not (tmp_path / "out").exists()


def test_what_chooses_and_what_judges_never_share_a_seed(run):
    _, out, _ = run
    seeds = {int(path.name.split("_")[0]) for path in (out / "images").glob("*/*.png")}

    sets = [{s for s in seeds if start <= s < start + 1_000_000}
            for start in (asked.REFERENCE_SEEDS, asked.PILOT_SEEDS, asked.JUDGE_SEEDS)]  # fmt: skip
    assert all(sets)
    assert set.union(*sets) == seeds


def test_the_report_stands_alone_and_says_what_to_take(run):
    found, out, said = run
    page = (out / "report.html").read_text()

    assert "At N = 2 the pilots chose SE2P with" in said
    assert "No person has judged" in page
    assert len(re.findall("<svg", page)) == 2 * 3 + 2  # three at each N, and two of what evaluations buy
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert "python manage.py tune --model" in page
    text = (out / "report.md").read_text()
    for arm in found["steps"][1]["judged"]:
        assert html.escape(arm["words"]) in page
        assert arm["words"] in text


def test_nothing_is_drawn_twice(run, flowers, monkeypatch):
    found, out, _ = run
    before = {path: path.stat().st_mtime_ns for path in (out / "images").glob("*/*.png")}
    monkeypatch.setattr(driver, "generate", lambda *a, **k: pytest.fail("an image was drawn again"))

    tuned(flowers, out, steps="2,4")

    assert {path: path.stat().st_mtime_ns for path in (out / "images").glob("*/*.png")} == before
    assert json.loads((out / "tune.json").read_text()) == found


def test_a_folder_of_pictures_can_be_the_reference(flowers, tmp_path):
    folder = tmp_path / "reference"
    noise(folder)
    said = io.StringIO()
    few = ["--pilot", "8", "--judge", "8", "--tries", "5", "--steps", "2", "--reference", str(folder)]

    call_command("tune", "--model", flowers, "--out", str(tmp_path / "out"), *few, stdout=said, stderr=said)

    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert found["reference"]["images"] == 8
    assert found["reference"]["brightness"] == pytest.approx(0.5, abs=0.05)


def noise(folder, count=8, size=(8, 8)):
    """A folder of pictures that are all different."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png.encode(rng.integers(0, 256, (*size, 3), np.uint8)))


def one_of_another_size(folder):
    noise(folder)
    Image.new("RGB", (12, 9)).save(folder / "7.png")


def one_that_is_no_picture(folder):
    noise(folder)
    (folder / "broken.png").write_bytes(b"no picture")


def one_cut_off(folder):
    noise(folder)
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:100])


def a_link_to_nothing(folder):
    noise(folder)
    (folder / "lost.png").symlink_to(folder / "nowhere.png")


def all_the_same(folder):
    folder.mkdir()
    for number in range(8):
        Image.new("RGB", (8, 8), "red").save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda folder: noise(folder, size=(16, 16)), "give images of the size that it makes"),
        (one_of_another_size, "7.png is 12×9 and 0.png 8×8: give pictures of the size"),
        (one_that_is_no_picture, "broken.png: is no picture"),
        (one_cut_off, "3.png: cannot be read"),
        (a_link_to_nothing, "lost.png: is not there"),
        (all_the_same, "all images of the reference are the same"),
        (lambda folder: noise(folder, count=1), "1 image as the reference; give 8 or more"),
        (lambda folder: noise(folder, count=7), "7 images as the reference; give 8 or more"),
        (lambda folder: folder.mkdir(), "has no pictures"),
        (lambda folder: None, "cannot be read as a folder"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused_before_anything_is_drawn(flowers, tmp_path, made, says):
    folder = tmp_path / "reference"
    made(folder)

    with pytest.raises(CommandError, match=says):
        call_command("tune", "--model", flowers, "--out", str(tmp_path / "out"), "--reference", str(folder),
                     stderr=io.StringIO())  # fmt: skip

    assert not (tmp_path / "out").exists()


def test_pictures_are_taken_few_at_a_time_and_no_more_than_the_spectrum_needs(flowers, tmp_path, monkeypatch):
    tuner = tuner_of(flowers, tmp_path)
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (40, 8, 8, 3), np.uint8))
    bright, inner = [], []
    brightness, space = tune.attributes.brightness, tuner.model.space
    monkeypatch.setattr(tune, "MOST_IMAGES", 24)
    monkeypatch.setattr(tune.attributes, "brightness", lambda x: (bright.append(len(x)), brightness(x))[1])
    monkeypatch.setattr(tuner.model, "space", lambda x: (inner.append(len(x)), space(x))[1])

    near = tuner._near(pictures)

    assert (bright, inner) == ([16, 16, 8], [16, 8])
    luma = np.stack(pictures) @ [0.299, 0.587, 0.114] / 255
    assert near.brightness == pytest.approx(luma.mean(), rel=1e-9)
    assert near.images == 40


def test_two_runs_in_one_folder_do_not_end_each_other(flowers, tmp_path):
    out = tmp_path / "out"
    with alone_in(out), pytest.raises(CommandError, match="out: another process is filling it"):
        tuned(flowers, out)

    assert not out.exists()


def test_a_report_that_cannot_be_written_leaves_the_earlier_one_whole(run, flowers, monkeypatch):
    _, out, _ = run
    before = (out / "tune.json").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)  # only the results are written: all images are there
    with pytest.raises(CommandError, match="No space left on device"):
        tuned(flowers, out, steps="2,4")

    assert (out / "tune.json").read_bytes() == before
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--steps", "0"], "allowed is"),
        (["--steps", "x"], "allowed is"),
        (["--steps", "9999"], "training timesteps"),
        (["--steps", "600"], "need 1200 timesteps, the model has 1000"),
        (["--offsets", "5000"], "training timesteps"),
        (["--offsets", "-1"], "allowed is"),
        (["--pilot", "2"], "pilot = 2"),
        (["--judge", "9" * 5000], "--judge: '9{40}' is no whole number"),
        (["--pilot", "٨"], "--pilot: '٨' is no whole number"),
        (["--out", ""], "'' is no folder"),
        (["--out", __file__], "is no folder"),
        (["--tries", "1"], "tries = 1"),
        (["--references", "100000"], "from 8 to 4096"),
        (["--labels", "rhino"], "label"),
        (["--guidance", "2"], "has no guidance"),
        (["--prompts", "nothing.txt"], "takes labels"),
        (["--model", "starter/nothing"], "starter"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_drawn(flowers, tmp_path, more, says):
    with pytest.raises(CommandError, match=says):
        call_command("tune", "--model", flowers, "--out", str(tmp_path / "out"), *more, stderr=io.StringIO())

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-3, -2, "better"), (2, 3, "worse"), (-0.5, 0.5, "equivalent"), (-2, 2, "undecided"),
        (None, None, "undecided"), (0.1, 0.9, "equivalent"),
    ],
)  # fmt: skip
def test_a_verdict_is_the_first_that_holds(low, high, says):
    assert tune.verdict(low, high, margin=1) == says


def test_the_words_follow_the_verdicts(run):
    found, _, _ = run
    one = json.loads(json.dumps(found))
    for arm in one["steps"][0]["judged"][1:]:
        arm["verdict"] = "better" if arm["name"] == "ddim" else "worse"
    for arm in one["steps"][1]["judged"][1:]:
        arm["verdict"] = "worse"

    first, second = tune_report.sections(one)[0].points

    assert "come nearer to the reference: DDIM." in first
    assert "Nothing at the same evaluations or fewer is shown to come nearer to the reference." in second


def test_where_the_papers_setting_is_nearer_only_the_rest_is_said_not_to_be(run):
    one = json.loads(json.dumps(run[0]))
    for arm in one["steps"][0]["judged"][1:]:
        arm["verdict"] = "better" if arm["name"] == "paper" else "worse"

    assert "Nothing else at the same evaluations" in tune_report.sections(one)[0].points[0]
    assert "Nothing at the same evaluations" in judged_as(one, "paper", "worse")


@pytest.mark.parametrize(
    ("out", "says"), [("/tmp/o\udcff", "UTF-8"), ("/tmp/" + 300 * "a", "File name too long")]
)
def test_a_name_that_cannot_be_used_is_refused_before_anything_is_drawn(flowers, monkeypatch, out, says):
    monkeypatch.setattr(driver, "generate", lambda *args, **more: pytest.fail("drawn"))

    with pytest.raises(CommandError, match=says):
        tuned(flowers, out)


def test_what_begins_with_a_dash_is_said_so_that_it_can_be_repeated():
    parser = tune_command.Command().create_parser("manage.py", "tune")
    given = ["--model", "m", "--negative-prompt=-x y", "--out=-o", "--device", "cpu", "--steps", "2,4"]
    options = vars(parser.parse_args(given))

    words = shlex.split(tune_command._command(options))

    assert words[:3] == ["python", "manage.py", "tune"]
    assert vars(parser.parse_args(words[3:])) == options


def test_what_an_earlier_run_found_is_replaced_in_so_many_words(flowers, tmp_path):
    out = tmp_path / "out"
    assert "is replaced" not in tuned(flowers, out)

    assert f"What an earlier run found in {out} is replaced." in tuned(flowers, out, steps="4")


def test_what_cannot_be_written_leaves_all_of_an_earlier_run(flowers, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tuned(flowers, out)
    kept = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    write, written = folder._write, []

    def full(path, data):
        written.append(path.name)
        if "report.md" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(folder, "_write", full)

    with pytest.raises(CommandError, match=r"report\.md\.part: No space left"):
        tuned(flowers, out, steps="4")
    assert ".tune.json.part" in written
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == kept


def test_a_folder_in_the_place_of_a_result_is_said_before_anything_is_drawn(flowers, tmp_path):
    (tmp_path / "out" / "report.html").mkdir(parents=True)

    with pytest.raises(CommandError, match=r"report\.html is a folder, .*: move it away"):
        tuned(flowers, tmp_path / "out")
    assert not (tmp_path / "out" / "images").exists()


def test_a_reference_of_ones_own_needs_no_steps_to_draw_one(tmp_path):
    short = str(pipelines.ddpm(tmp_path / "short", num_train_timesteps=100))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    size = load(short).shape[-1]
    for n, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)):
        (pictures / f"{n}.png").write_bytes(png.encode(pixels))

    tuned(short, tmp_path / "out", "--reference", str(pictures), take=SMALL[:2] + SMALL[4:])

    found = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert found["asked"]["reference_steps"] is None
    with pytest.raises(CommandError, match="steps = 250"):
        tuned(short, tmp_path / "drawn", take=SMALL[:2] + SMALL[4:])


def judged_as(found, name, verdict):
    """The words of the first N, were this arm judged so."""
    one = json.loads(json.dumps(found))
    next(arm for arm in one["steps"][0]["judged"] if arm["name"] == name)["verdict"] = verdict
    return tune_report.sections(one)[0].points[0]


@pytest.mark.parametrize("steps", [2, 4])
def test_a_scaled_baseline_that_is_the_plain_one_is_said_to_be(run, steps):
    one = json.loads(json.dumps(run[0]))
    for pilot in one["steps"][0]["pilots"]:
        if pilot["parameter"] == "noise_scale":
            pilot["value"] = 1.0 if pilot["condition"]["steps"] == steps else 1.1

    said = [point for point in tune_report.sections(one)[1].points if "η = 1" in point]

    more = " with 2N steps" if steps == 4 else ""
    assert said == [f"No noise scale came nearer than η = 1: the scaled baseline{more} is the plain one."]


@pytest.mark.parametrize(("distance", "says"), [(-0.001, True), (0, True), (0.001, False)])
def test_where_the_baseline_is_at_the_reference_the_report_says_that_no_margin_is_left(run, distance, says):
    one = json.loads(json.dumps(run[0]))
    for at in one["steps"]:
        next(arm for arm in at["judged"] if arm["name"] == "baseline")["distance"] = 0.5
    next(arm for arm in one["steps"][1]["judged"] if arm["name"] == "baseline")["distance"] = distance

    text = report.as_markdown("t", tune_report.sections(one))

    assert ("at N = 4 that is 0 or less" in text) == says
    assert "N = 2 that is 0 or less" not in text
    assert "equivalent is less than 125 either way" in text  # a quarter of 0.5, times 1000
    assert ("nothing is equivalent where the plain baseline's distance is 0 or less" in text) == says


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("better", "the paper's ρ = 1.35 is nearer to the reference than with this choice: so few pilots"),
        ("worse", "that is nearer to the reference than SE2P with the paper's ρ = 1.35."),
        ("equivalent", "the paper's ρ = 1.35 is as near"),
        ("undecided", "can't tell that from SE2P with the paper's ρ = 1.35."),
    ],
)
def test_the_words_say_how_the_choice_does_beside_the_papers(run, verdict, says):
    assert says in judged_as(run[0], "paper", verdict)


def test_pilots_that_were_not_given_the_papers_offset_are_not_to_blame(run):
    found = json.loads(json.dumps(run[0]))
    for pilot in found["steps"][0]["pilots"]:
        pilot["condition"]["offset"] = 50
    next(arm for arm in found["steps"][0]["judged"] if arm["name"] == "paper")["verdict"] = "better"

    said = next(tune_report.words(found))

    assert "its δ = 1 was not among the offsets to try" in said
    assert "chosen badly" not in said


@pytest.mark.parametrize(
    ("offset", "says"), [(1, ["ρ", "ρ = 1.35"]), (50, ["ρ and δ", "ρ = 1.35 and δ = 1"])]
)
def test_arms_say_where_the_pilots_chose_another_offset_than_the_papers(offset, says):
    found = searching.Found(1.0, 0.0, False, ((1.0, 0.0),))
    best = Condition(sampler=Sampler.SE2P, steps=20, offset=offset, rho=1.0)
    pilots = [
        tuning.Pilot("", start, name, found)
        for start, name in ((best, "rho"), (PLAIN, "noise_scale"), (replace(PLAIN, steps=4), "noise_scale"))
    ]

    se2p, paper, *_ = tuning.arms(20, *pilots)

    assert se2p.words == f"SE2P with the pilots' best {says[0]}"
    assert paper.words == f"SE2P with the paper's {says[1]}"


def test_where_the_papers_setting_is_nearer_the_page_can_say_so(run):
    one = json.loads(json.dumps(run[0]["steps"][0]))
    paper = next(arm for arm in one["judged"] if arm["name"] == "paper")

    said = {}
    for paper["verdict"] in ("better", "undecided"):
        said[paper["verdict"]] = tune_report.nearer_than_chosen(one)

    assert said == {"better": "SE2P with the paper's ρ = 1.35", "undecided": ""}


def test_how_surely_the_pilots_chose_is_the_paired_difference_of_their_images(run, flowers):
    found, out, _ = run
    one = found["steps"][0]
    tuner, near = taken_up(flowers, out)
    items = tuner.asked.items(asked.PILOT_SEEDS, 8)
    chosen = one["judged"][0]["condition"]
    pilot = next(p for p in one["pilots"] if p["parameter"] == "rho" and p["condition"] != chosen)
    first = pilot["condition"] | {"rho": pilot["tried"][0][0]}
    tried, best = (
        tuner._features(tuner.gallery.images(Condition.from_json(each), items)) for each in (first, chosen)
    )

    by_hand = mmd2_difference(tried, best, near.features)

    beside = pilot["beside_chosen"][0]
    assert beside["difference"] == pytest.approx(by_hand.difference, rel=1e-6)
    assert (beside["low"], beside["high"]) == pytest.approx((by_hand.low, by_hand.high), rel=1e-6)
    of_scaled = next(p for p in one["pilots"] if p["name"] == "scaled baseline")
    at_best = [value for value, _ in of_scaled["tried"]].index(of_scaled["value"])
    assert of_scaled["beside_chosen"][at_best]["difference"] == 0


def test_the_report_shows_every_setting_that_the_pilots_tried(run):
    found, _, _ = run
    one = json.loads(json.dumps(found))
    for pilot in one["steps"][0]["pilots"]:
        for beside in pilot["beside_chosen"]:
            beside |= {"difference": 2.0, "low": 1.0, "high": 3.0}
    pilots = one["steps"][0]["pilots"]
    chosen = next(p for p in pilots if p["condition"] == one["steps"][0]["judged"][0]["condition"])
    of_se2p = [p for p in pilots if p["parameter"] == "rho"]
    # With ρ = 0 there is no noise to be own or shared: one setting.
    others = len({(value, value and p["name"]) for p in of_se2p for value, _ in p["tried"]}) - 1
    other = next(p for p in of_se2p if p is not chosen)
    alike = next(b for b, (value, _) in zip(other["beside_chosen"], other["tried"], strict=True) if value)

    told = tune_report.sections(one)
    alike["low"] = -1.0
    untold = tune_report.sections(one)[0].points[0]

    assert f"8 pilot images tell all of the {others} other settings" in told[0].points[0]
    assert f"8 pilot images can't tell 1 of the {others} other settings" in untold
    table = told[1].tables[-1]
    assert len(table.rows) == sum(len(p["tried"]) for p in pilots)
    assert [row[3] for row in table.rows].count("– (chosen)") == 3  # of SE2P one, of each baseline one
    figure = next(f for f in told[1].figures if f.name == "choice-2")
    assert len(figure.rows) == len(chosen["tried"]) - 1


def test_what_an_earlier_version_found_is_still_shown(run):
    one = json.loads(json.dumps(run[0]))
    for pilot in one["steps"][0]["pilots"]:
        del pilot["beside_chosen"]

    words, section, *_ = tune_report.sections(one)

    assert "pilot images" not in words.points[0]
    assert [figure.name for figure in section.figures] == ["difference-2", "front-2"]


def test_one_number_of_steps_has_its_costs_too(run):
    found, _, _ = run
    one = found | {"steps": found["steps"][:1]}

    figure = next(s for s in tune_report.sections(one) if s.title == "What evaluations buy").figures[0]

    arms = {arm["name"]: arm for arm in one["steps"][0]["judged"]}
    plain = [(at, distance) for name, at, distance in figure.rows if name == "baseline"]
    assert plain == [
        (2, 1000 * arms["baseline"]["distance"]),
        (4, 1000 * arms["baseline-2n"]["distance"]),
    ]


def test_several_offsets_are_shown_as_maps_predicted_and_measured(run):
    found, _, _ = run
    one = json.loads(json.dumps(found["steps"][0]))
    one["map"] |= {"offsets": [1, "step"], "distance": one["map"]["distance"] * 2}
    of_se2p = [pilot for pilot in one["pilots"] if pilot["parameter"] == "rho"]
    one["pilots"] += [p | {"condition": p["condition"] | {"offset": "step"}} for p in of_se2p]

    predicted, measured = tune_report.sections(found | {"steps": [one]})[1].figures[-2:]

    assert predicted.head == measured.head == ("rho", "offset 1", "offset step")
    assert len(predicted.rows) == 17
    noise = one["judged"][0]["condition"]["predictor_noise"]
    tried = next(p["tried"] for p in of_se2p if p["condition"]["predictor_noise"] == noise)
    assert measured.rows == tuple((rho, 1000 * d, 1000 * d) for rho, d in sorted(tried))


def test_an_image_of_the_folder_is_that_of_generate(flowers, tmp_path):
    model = load(flowers)
    gallery = Gallery(model, tmp_path, said=lambda text: None)
    items = [Item(seed=seed, label=1) for seed in (3, 4)]

    found = gallery.images(PLAIN, items)

    made = driver.generate(model, items, [PLAIN]).images
    assert [np.array_equal(one, other[0]) for one, other in zip(found, made, strict=True)] == [True, True]
    assert gallery.seconds(PLAIN, items) > 0


def test_a_folder_of_other_weights_is_refused(flowers, tmp_path, tmp_path_factory):
    other = load(str(pipelines.ddpm(tmp_path_factory.mktemp("other"), classes=True, beta_end=0.03)))
    Gallery(load(flowers), tmp_path, said=lambda text: None).images(PLAIN, [Item(seed=0, label=0)])

    with pytest.raises(ValueError, match="weights"):
        Gallery(other, tmp_path, said=lambda text: None).images(PLAIN, [Item(seed=0, label=0)])

    assert len(read_manifest(next(tmp_path.iterdir()))) == 1
