"""Which open_clip model measures drift, and that a weight file of the true layout is loaded to the end."""

import hashlib

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.scoring import drift, registry
from generation.scoring.weights import (
    CLIP,
    CLIP_MODEL,
    CLIP_TAG,
    KNOWN,
    STARTER_CLIP,
    Clip,
    Unavailable,
    Weights,
)

CAT, CUP = skimage.data.chelsea(), skimage.data.coffee()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The published file's name and layout, random values in half precision."""
    made = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    state = open_clip.create_model(CLIP_MODEL).half().state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, made / KNOWN[CLIP].file)
    return made


def test_without_a_file_it_is_the_bundled_one(tmp_path):
    assert Weights(tmp_path).open_clip() == Clip(STARTER_CLIP)


def test_the_published_file_is_taken_where_it_is_there_and_gives_what_open_clip_gives(folder):
    weights = Weights(folder)
    file = folder / KNOWN[CLIP].file
    assert weights.open_clip() == Clip(CLIP_MODEL, str(file))
    assert registry.weights_of("drift", weights=weights) == hashlib.sha256(file.read_bytes()).hexdigest()

    found = registry.pair_scores([CAT], [CUP], ["drift"], weights=weights, device="cpu")["drift"]

    model, preprocess = open_clip.create_model_from_pretrained(CLIP_MODEL, pretrained=str(file))
    model.eval()
    with torch.no_grad():
        both = model.encode_image(torch.stack([preprocess(Image.fromarray(one)) for one in (CAT, CUP)]))
    features = torch.nn.functional.normalize(both.double(), dim=1)
    assert found == pytest.approx([float(features[0] @ features[1])], abs=1e-5)
    assert found != pytest.approx(
        registry.pair_scores([CAT], [CUP], ["drift"], device="cpu")["drift"], abs=1e-4
    )
    drift.load.cache_clear()


def test_images_are_prepared_as_the_published_tag_says(folder):
    encoder = drift.load(CLIP_MODEL, str(folder / KNOWN[CLIP].file))
    config = open_clip.get_pretrained_cfg(CLIP_MODEL, CLIP_TAG)
    grey = encoder.preprocess(Image.fromarray(np.full((300, 200, 3), 128, np.uint8)))
    drift.load.cache_clear()

    assert grey.shape == (3, 224, 224)
    expected = (128 / 255 - torch.tensor(config["mean"])) / torch.tensor(config["std"])
    assert torch.allclose(grey[:, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "clip"),
    [
        ("local-dir:models/clip", Clip("local-dir:models/clip")),
        ("hf-hub:org/name", Clip("hf-hub:org/name")),
        ("ViT-B-32:laion2b_s34b_b79k", Clip("ViT-B-32", "laion2b_s34b_b79k")),
        ("ViT-L-14:models/own.safetensors", Clip("ViT-L-14", "models/own.safetensors")),
    ],
)
def test_a_choice_is_read(tmp_path, text, clip):
    assert Weights(tmp_path, clip=text).open_clip() == clip
    assert clip.weights == text  # nothing of these is a file here


@pytest.mark.parametrize("text", ["ViT-B-32", ":tag", "ViT-B-32:"])
def test_a_choice_that_names_no_weights_is_refused(tmp_path, text):
    with pytest.raises(Unavailable, match="is no open_clip model"):
        Weights(tmp_path, clip=text).open_clip()


def test_a_file_of_the_users_own_comes_before_the_published_one(tmp_path):
    (tmp_path / KNOWN[CLIP].file).write_bytes(b"published")
    (tmp_path / "open_clip.safetensors").write_bytes(b"own")

    assert Weights(tmp_path).open_clip() == Clip(CLIP_MODEL, str(tmp_path / "open_clip.safetensors"))


def test_a_file_that_is_not_the_models_is_unavailable(tmp_path):
    (tmp_path / "open_clip.safetensors").write_bytes(b"no tensors")

    with pytest.raises(Unavailable, match="can't be loaded"):
        registry.pair_scores([CAT], [CUP], ["drift"], weights=Weights(tmp_path), device="cpu")
