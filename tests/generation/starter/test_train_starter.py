"""`manage.py train_starter` with a few steps on a few pictures, through the libraries' own loading."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from diffusers import DDPMPipeline
from django.core.management import CommandError, call_command
from PIL import Image
from torch.nn import functional as F

from generation.starter import loop, making
from generation.starter.photographs import find
from generation.starter.train_clip import Clip, contrast
from generation.starter.train_ddpm import Ddpm

Make = Callable[..., Path]
KINDS = {"ddpm": Ddpm, "clip": Clip}
A_FEW_STEPS = 0.01  # minutes


def train(model: str, data: Path, out: Path, *options: str, minutes: float = A_FEW_STEPS) -> None:
    call_command(
        "train_starter", model, "--data", str(data), "--out", str(out), "--minutes", str(minutes), *options
    )


def progress(out: Path) -> dict[str, Any]:
    stored: dict[str, Any] = torch.load(f"{out}.checkpoint.pt", weights_only=True)["progress"]
    return stored


def test_a_ddpm_loads_as_a_pipeline_of_diffusers(photographs: Make, tmp_path: Path) -> None:
    out = tmp_path / "made" / "flowers"

    train("ddpm", photographs(rose=20, tulip=3), out)

    pipeline = DDPMPipeline.from_pretrained(out)
    x = torch.randn(2, 3, 32, 32)
    predicted = pipeline.unet(x, 500, class_labels=torch.tensor([0, 1])).sample
    assert predicted.shape == x.shape and predicted.isfinite().all()
    assert json.loads((out / "labels.json").read_text()) == {"0": "rose", "1": "tulip"}
    assert sum(file.stat().st_size for file in out.rglob("*")) < 12e6


def test_a_clip_model_loads_in_open_clip(photographs: Make, tmp_path: Path) -> None:
    out = tmp_path / "clip"

    train("clip", photographs(rose=20, tulip=20), out)

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{out}")
    tokens = open_clip.get_tokenizer(f"local-dir:{out}")(["a photo of a rose.", "tulip"])
    model.eval()
    image = model.encode_image(preprocess(Image.new("RGB", (50, 40)))[None])
    assert image.shape == (1, 128) and model.encode_text(tokens).shape == (2, 128)
    assert sum(file.stat().st_size for file in out.rglob("*")) < 8e6


@pytest.mark.parametrize("model", KINDS)
def test_the_card_says_how_long_and_on_what(model: str, photographs: Make, tmp_path: Path) -> None:
    data = photographs(rose=21)
    (data / "ORIGIN.md").write_text("A garden.")

    train(model, data, tmp_path / "out")

    card = (tmp_path / "out" / "README.md").read_text()
    assert "0 minutes on a CPU" in card and "drawn from 20 photographs" in card
    assert "A garden." in card and "| 0 | rose | 20 |" in card
    assert ("![samples](samples.png)" in card) == (model == "ddpm")


@pytest.mark.parametrize("model", KINDS)
def test_resume_goes_on_from_the_steps_before(model: str, photographs: Make, tmp_path: Path) -> None:
    data, out = photographs(rose=20, tulip=2), tmp_path / "out"
    train(model, data, out)
    first = progress(out)

    train(model, data, out, "--resume", minutes=first["seconds"] / 60 + A_FEW_STEPS)

    assert 0 < first["steps"] < progress(out)["steps"]
    assert progress(out)["course"][0] == first["course"][0]


@pytest.mark.parametrize("model", KINDS)
def test_a_restored_training_takes_the_step_that_would_have_come(
    model: str, photographs: Make, tmp_path: Path
) -> None:
    collection = find([photographs(rose=3, tulip=5)])
    trainee, again = KINDS[model](collection), KINDS[model](collection)
    for _ in range(2):
        trainee.step(1)
    loop.save(tmp_path / "c.pt", trainee, loop.Progress())
    loop.load(tmp_path / "c.pt", again)

    assert [again.step(1), again.step(1)] == [trainee.step(1), trainee.step(1)]


@pytest.mark.parametrize("model", KINDS)
def test_held_out_photographs_are_never_trained_on(model: str, photographs: Make) -> None:
    trainee = KINDS[model](find([photographs(rose=40, tulip=20)]))

    def green(images: torch.Tensor) -> torch.Tensor:
        return images[:, 1].flatten(1).amax(1) > 128

    assert not green(trainee.images).any()
    assert green(trainee.held_out).all() and len(trainee.held_out) == 3


@pytest.mark.parametrize("model", KINDS)
def test_checking_changes_nothing(model: str, photographs: Make) -> None:
    collection = find([photographs(rose=20, tulip=20)])
    trainee, unchecked = KINDS[model](collection), KINDS[model](collection)
    trainee.step(1), unchecked.step(1)

    assert trainee.check() == trainee.check()
    assert trainee.step(1) == unchecked.step(1)


def test_training_lowers_the_loss(photographs: Make) -> None:
    trainee = Ddpm(find([photographs(rose=19)]))

    losses = [trainee.step(1) for _ in range(16)]

    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_a_clip_model_learns_to_tell_two_classes(tmp_path: Path) -> None:
    for label, colour in {"rose": (220, 20, 20), "sky": (20, 20, 220)}.items():
        (tmp_path / label).mkdir()
        for place in range(20):
            Image.new("RGB", (32, 32), colour).save(tmp_path / label / f"{place:02}.png")
    trainee = Clip(find([tmp_path]))

    for _ in range(30):
        trainee.step(0.5)

    assert trainee.check() == 1


def test_training_sees_what_open_clip_prepares(photographs: Make, tmp_path: Path) -> None:
    trainee = Clip(find([photographs(rose=20)]))
    trainee.export(tmp_path)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    picture = Image.fromarray(trainee.held_out[0].permute(1, 2, 0).numpy())
    trainee.model.eval(), model.eval()

    with torch.no_grad():
        loaded = model.encode_image(preprocess(picture)[None], normalize=True)
        own = trainee.embed(trainee.held_out[:1])

    torch.testing.assert_close(loaded, own, atol=2e-3, rtol=0)


def test_with_one_image_a_caption_the_loss_is_that_of_clip() -> None:
    logits, own = torch.randn(4, 4), torch.arange(4)

    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    torch.testing.assert_close(contrast(logits, own), expected)


def test_a_folder_without_classes_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"^.* holds no class folders; put the photographs in .*$"):
        train("ddpm", tmp_path, tmp_path / "out")


def test_resume_without_a_checkpoint_is_refused(photographs: Make, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no .*out\.checkpoint\.pt to go on from"):
        train("ddpm", photographs(rose=2), tmp_path / "out", "--resume")


def test_resume_with_other_classes_is_refused(photographs: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train("clip", photographs("one", rose=2), out)

    with pytest.raises(CommandError, match="belongs to clip of rose, not to clip of tulip"):
        train("clip", photographs("two", tulip=2), out, "--resume")


@pytest.mark.parametrize("minutes", ["-1", "soon", "nan", "inf"])
def test_what_is_no_number_of_minutes_is_a_usage_error(minutes: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=f"{minutes} is not a number of minutes"):
        call_command("train_starter", "ddpm", "--data", str(tmp_path), "--out", "x", f"--minutes={minutes}")


def test_no_minutes_train_nothing(photographs: Make, tmp_path: Path) -> None:
    with pytest.raises(making.Refused, match="0 minutes train nothing"):
        making.make("ddpm", [photographs(rose=2)], tmp_path / "out", 0, resume=False, log=print)
