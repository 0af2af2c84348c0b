"""Metrics of pyiqa as the registry gives them, beside pyiqa called by hand."""

import hashlib
import math
import os
import pickle
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyiqa
import pytest
import skimage.data
import timm
import torch
from pyiqa.default_model_configs import DEFAULT_CONFIGS

from generation.scoring import names, quality, registry
from generation.scoring.weights import Missing, Unavailable, Weights

from . import weight_files

PHOTOGRAPHS = [
    picture[:112, :112]
    for picture in (skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut())
]
PYIQA = {n: m for n, m in (*names.METRICS.items(), *names.OTHERS.items()) if m.pyiqa}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The user's own files, by metric, in a folder of weights."""
    folder = tmp_path_factory.mktemp("weights")
    makers = {"musiq": ("pth", weight_files.musiq), "nima": ("pth", weight_files.nima)}
    makers |= {"clipiqa": ("pt", weight_files.clip_rn50), "niqe": ("mat", weight_files.niqe)}
    return {name: make(folder / f"{name}.{ending}") for name, (ending, make) in makers.items()}


@pytest.fixture(scope="module")
def weights(files):
    return Weights(next(iter(files.values())).parent)


def by_hand(name, files):
    """pyiqa's own metric, called as its documentation says."""
    if name == "musiq":
        return pyiqa.create_metric(
            name, device="cpu", pretrained=False, pretrained_model_path=str(files[name])
        )
    if name == "clipiqa":
        return pyiqa.create_metric(name, device="cpu", backbone=str(files[name]))
    if name == "nima":  # it fetches a backbone whatever it is told
        create = timm.create_model
        with patch.object(timm, "create_model", lambda *a, **k: create(*a, **k | {"pretrained": False})):
            return pyiqa.create_metric(name, device="cpu", pretrained_model_path=str(files[name]))
    if name == "niqe":
        return pyiqa.create_metric(name, device="cpu", pretrained_model_path=str(files[name]))
    return pyiqa.create_metric(name, device="cpu")


def tensor(picture):
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", ["musiq", "clipiqa", "nima", "niqe", "piqe", "entropy"])
def test_a_metric_is_what_pyiqa_gives_for_each_picture_by_hand(name, files, weights):
    metric = by_hand(name, files)
    expected = [float(metric(tensor(picture))) for picture in PHOTOGRAPHS]

    together = registry.image_scores(PHOTOGRAPHS, [name], device="cpu", weights=weights)[name]
    alone = [registry.image_scores([p], [name], device="cpu", weights=weights)[name][0] for p in PHOTOGRAPHS]

    assert together == pytest.approx(expected, abs=1e-5)
    assert alone == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("name", ["psnr", "ssim", "gmsd"])
def test_a_full_reference_metric_is_what_pyiqa_gives(name, tmp_path):
    references = [np.flip(picture, axis=1).copy() for picture in PHOTOGRAPHS]
    metric = by_hand(name, {})
    expected = [float(metric(tensor(a), tensor(b))) for a, b in zip(PHOTOGRAPHS, references, strict=True)]

    found = registry.reference_scores(PHOTOGRAPHS, references, [name], device="cpu")[name]

    assert found == pytest.approx(expected, abs=1e-5)


def test_what_is_said_of_a_metric_is_what_pyiqa_says():
    for name, metric in PYIQA.items():
        config = DEFAULT_CONFIGS[name]
        assert metric.kind == {"FR": "reference", "NR": "image"}[config["metric_mode"]]
        assert metric.span == config["score_range"]
        assert metric.better == ("lower" if config.get("lower_better") else "higher")


def test_every_metric_of_single_pictures_is_known():
    of_sets_or_texts = {"fid", "sfid", "fid_dinov2", "inception_score", "clipscore", "fgresq_pair"}

    assert set(DEFAULT_CONFIGS) - set(PYIQA) == of_sets_or_texts


class FakeRandomMetric:
    """Stands for a metric of random crops, whose backbones can't be had here."""

    def __call__(self, images):
        return images.mean((1, 2, 3)) + torch.rand(()) + np.random.random()


def test_a_metric_of_random_crops_gives_a_picture_the_same_value_in_any_company():
    judge = quality.Judge(PYIQA["maniqa"], "", FakeRandomMetric())
    batch = torch.cat([tensor(p) for p in PHOTOGRAPHS])
    np.random.seed(5)
    before = np.random.random()
    np.random.seed(5)

    together = judge.score(batch)

    assert np.random.random() == before
    assert together == [judge.score(one[None])[0] for one in batch]


def test_nothing_is_printed(files, weights, capfd):
    quality._judges.clear()

    registry.image_scores(PHOTOGRAPHS[:1], ["musiq"], device="cpu", weights=weights)

    assert capfd.readouterr().out == ""


def test_a_metric_is_loaded_once(weights):
    assert quality.load("musiq", weights) is quality.load("musiq", weights)


def test_another_file_under_the_same_name_is_another_metric(files, tmp_path):
    own = Weights(tmp_path)
    (tmp_path / "niqe.mat").write_bytes(files["niqe"].read_bytes())
    first = quality.load("niqe", own)
    weight_files.niqe(tmp_path / "niqe.mat", seed=5)
    os.utime(tmp_path / "niqe.mat", (0, 0))  # on a fast machine both are of one tick of the clock

    assert quality.load("niqe", own) is not first


def test_the_weights_are_named_by_their_hash(files, weights):
    found = registry.weights_of("musiq", weights=weights, device="cpu")

    assert found == hashlib.sha256(files["musiq"].read_bytes()).hexdigest()
    assert registry.weights_of("piqe", weights=weights, device="cpu") == ""


def test_cudnn_is_as_it_was(weights):
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic

    registry.image_scores(PHOTOGRAPHS[:1], ["piqe"], device="cpu", weights=weights)

    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic) == before


def test_missing_weights_are_said_with_the_command_that_helps(tmp_path):
    with pytest.raises(Missing, match=r"musiq needs musiq_koniq.*weights fetch musiq.*EVALSITE_WEIGHTS"):
        quality.load("musiq", Weights(tmp_path))


def test_a_published_file_with_other_bytes_is_refused(files, tmp_path):
    (tmp_path / "musiq_koniq_ckpt-e95806b9.pth").write_bytes(files["musiq"].read_bytes())

    with pytest.raises(Unavailable, match=r"has the SHA-256 .*, not e95806b9: fetch it again"):
        quality.load("musiq", Weights(tmp_path))


def test_a_file_of_another_layout_is_refused(files, tmp_path):
    with pytest.raises(
        Unavailable, match=f"musiq can't be loaded from {files['nima']} .is it this metric's file"
    ):
        quality.load("musiq", Weights(tmp_path, {"musiq": files["nima"]}))


class Mischief:
    def __reduce__(self):
        return Path.touch, (Path("mischief"),)


def test_a_file_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad.pth"
    torch.save({"params": Mischief()}, bad, pickle_module=pickle)

    with pytest.raises(Unavailable, match="musiq can't be loaded"):
        quality.load("musiq", Weights(tmp_path, {"musiq": bad}))

    assert not (tmp_path / "mischief").exists()


def test_pictures_that_are_too_small_are_refused(weights):
    with pytest.raises(Unavailable, match="niqe needs pictures of 96 pixels a side, not 32"):
        registry.image_scores([PHOTOGRAPHS[0][:32, :40]], ["niqe"], device="cpu", weights=weights)


BLACK = np.zeros_like(PHOTOGRAPHS[0])


@pytest.mark.parametrize("name", ["niqe", "piqe"])
def test_a_picture_without_a_value_takes_none_from_its_batch(name, weights):
    first, _, last = registry.image_scores(
        [PHOTOGRAPHS[0], BLACK, PHOTOGRAPHS[1]], [name], device="cpu", weights=weights
    )[name]
    alone = [
        registry.image_scores([p], [name], device="cpu", weights=weights)[name][0] for p in PHOTOGRAPHS[:2]
    ]

    assert [first, last] == pytest.approx(alone, abs=1e-5)
    assert math.isnan(registry.image_scores([BLACK], [name], device="cpu", weights=weights)[name][0])


def test_references_of_another_size_are_refused():
    with pytest.raises(ValueError, match="image 0 is 112×112 and its reference 112×100"):
        registry.reference_scores(PHOTOGRAPHS[:1], [PHOTOGRAPHS[0][:100]], ["psnr"], device="cpu")
