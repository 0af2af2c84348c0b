from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from PIL import Image

from generation.scoring import drift
from generation.scoring.weights import STARTER_CLIP

PHOTOGRAPHS = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut()]


def test_similarity_is_what_open_clip_gives_by_hand() -> None:
    model, preprocess = open_clip.create_model_from_pretrained(STARTER_CLIP)
    model.eval()
    pixels = torch.stack([preprocess(Image.fromarray(image)) for image in PHOTOGRAPHS])
    with torch.no_grad():
        features = model.encode_image(pixels).numpy().astype(float)
    features /= np.linalg.norm(features, axis=1, keepdims=True)

    found = drift.similarity(drift.load(STARTER_CLIP), PHOTOGRAPHS[:2], PHOTOGRAPHS[1:])

    assert found == pytest.approx([features[0] @ features[1], features[1] @ features[2]], abs=1e-5)


def test_similarity_does_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = drift.load(STARTER_CLIP)
    whole = drift.similarity(encoder, PHOTOGRAPHS, PHOTOGRAPHS[::-1])
    monkeypatch.setattr(drift, "BATCH", 2)

    assert drift.similarity(encoder, PHOTOGRAPHS, PHOTOGRAPHS[::-1]) == pytest.approx(whole, abs=1e-5)


def test_a_model_is_loaded_once() -> None:
    assert drift.load(STARTER_CLIP) is drift.load(STARTER_CLIP)


def test_an_architecture_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="ViT-B-32 without weights is random"):
        drift.load("ViT-B-32")


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        drift.load(f"local-dir:{tmp_path / 'nowhere'}")
