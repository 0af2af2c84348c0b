"""Names of the metrics and what they mean. No torch here: forms and pages list them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A number about one image or about the two images of a pair.

    version: of its formula and weights; a score is kept under it, so it changes whenever the same picture
    could get another value. better: the direction that people would call better, or none where there is no
    such direction.
    """

    name: str
    kind: Literal["image", "pair"]
    version: str
    better: Literal["higher", "lower", "none"]
    words: str


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("brightness", "image", "1", "none", "mean luma, 0 to 1"),
        Metric("contrast", "image", "1", "none", "standard deviation of luma"),
        Metric("sharpness", "image", "1", "none", "variance of luma's Laplacian"),
        Metric("tenengrad", "image", "1", "none", "mean squared Sobel gradient of luma"),
        Metric("colourfulness", "image", "1", "none", "Hasler and Süsstrunk's, on 0 to 255"),
        Metric("saturation", "image", "1", "none", "mean saturation of HSV, 0 to 1"),
        Metric("clipped", "image", "1", "lower", "share of pixels with a channel at 0 or 255"),
        Metric("high_frequency", "image", "1", "none", "share of luma's energy in the finest octave"),
        Metric(
            "drift", "pair", "2", "higher", "CLIP similarity of the pair's images, -1 to 1; 1 is the same"
        ),
    )
}
DEFAULT = ("brightness", "contrast", "sharpness", "colourfulness", "drift")
