import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from PIL import Image

from generation.scoring import alike, drift, names, registry
from generation.scoring.weights import STARTER_CLIP

CAT = skimage.data.chelsea()
COFFEE = skimage.data.coffee()
IMAGES = [CAT[:64, :64], COFFEE[:40, :80], CAT[100:164, 100:164], COFFEE[50:90, 20:100], CAT[:1, :1]]
OF_IMAGES = [name for name, metric in names.METRICS.items() if metric.kind == "image" and not metric.pyiqa]


def test_every_metric_of_an_image_has_a_function() -> None:
    assert set(registry.IMAGE_FUNCTIONS) == set(OF_IMAGES)


def test_the_default_metrics_are_known() -> None:
    assert set(names.DEFAULT) <= set(names.METRICS)


def test_images_of_several_sizes_are_scored_in_their_order() -> None:
    together = registry.image_scores(IMAGES, OF_IMAGES)
    alone = [registry.image_scores([image], OF_IMAGES) for image in IMAGES]

    for metric in OF_IMAGES:
        assert together[metric] == pytest.approx([scores[metric][0] for scores in alone], rel=1e-12)
    assert np.isfinite(list(together.values())).all()


def test_similarity_to_other_seeds_is_the_mean_over_them() -> None:
    images = [CAT, COFFEE, CAT[:200]]
    both = registry.pair_scores([CAT, CAT], [COFFEE, CAT[:200]], ["drift"])["drift"]

    assert alike.to_others(registry.embeddings(images))[0] == pytest.approx(sum(both) / 2, abs=1e-6)


def test_one_image_has_no_other_seeds_to_be_like() -> None:
    with pytest.raises(ValueError, match="1 image has no others"):
        alike.to_others(registry.embeddings([CAT]))


def test_an_image_and_its_prompt_are_compared_as_open_clip_does() -> None:
    encoder = drift.load(STARTER_CLIP)
    tokens = open_clip.get_tokenizer(STARTER_CLIP)(["a red rose"])
    with torch.inference_mode():
        image = encoder.model.encode_image(encoder.preprocess(Image.fromarray(CAT))[None], normalize=True)
        text = encoder.model.encode_text(tokens, normalize=True)

    assert registry.prompt_scores([CAT], ["a red rose"]) == pytest.approx([float(image @ text.T)], abs=1e-5)


def test_no_prompts_have_no_scores() -> None:
    assert registry.prompt_scores([], []) == []


def test_drift_says_which_weights_it_rests_on() -> None:
    file = Path(STARTER_CLIP.partition(":")[2]) / "open_clip_model.safetensors"

    assert registry.weights_of("drift") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert registry.weights_of("brightness") == ""


def test_more_images_than_fit_a_batch_are_all_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = registry.image_scores(IMAGES, ["brightness"])
    monkeypatch.setattr(registry, "PIXELS", 64 * 64)

    assert registry.image_scores(IMAGES, ["brightness"]) == whole


def test_no_images_have_no_scores() -> None:
    assert registry.image_scores([], ["brightness"]) == {"brightness": []}
    assert registry.pair_scores([], [], ["drift"]) == {"drift": []}


def test_the_two_images_of_a_pair_are_one_another_without_drift() -> None:
    scores = registry.pair_scores(IMAGES, IMAGES, ["drift"])

    assert scores["drift"] == pytest.approx([1] * len(IMAGES), abs=1e-6)


def test_drift_is_the_same_both_ways_and_below_one_for_different_images() -> None:
    there = registry.pair_scores(IMAGES[:2], IMAGES[2:4], ["drift"])["drift"]
    back = registry.pair_scores(IMAGES[2:4], IMAGES[:2], ["drift"])["drift"]

    assert there == pytest.approx(back, abs=1e-12)
    assert max(registry.pair_scores([CAT], [COFFEE], ["drift"])["drift"]) < 0.9999


def test_only_the_metrics_asked_for_are_computed() -> None:
    assert set(registry.image_scores(IMAGES, ["contrast"])) == {"contrast"}
    assert registry.pair_scores(IMAGES, IMAGES, []) == {}


def test_an_unknown_metric_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"beauty is no metric of one image; there are brightness, contrast"):
        registry.image_scores(IMAGES, ["beauty"])


def test_a_metric_of_pairs_is_refused_for_single_images() -> None:
    with pytest.raises(ValueError, match="drift is no metric of one image"):
        registry.image_scores(IMAGES, ["drift"])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3)),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=["grey", "rgba", "float", "empty"],
)
def test_what_is_not_an_rgb_image_of_bytes_is_refused_by_its_place(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image 1 is .*; an image is uint8 \(H, W, 3\)"):
        registry.image_scores([CAT, image], ["brightness"])


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="5 baseline and 4 treatment images are not pairs"):
        registry.pair_scores(IMAGES, IMAGES[1:], ["drift"])


def test_the_names_are_there_without_torch() -> None:
    script = "import sys, generation.scoring.names; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
