"""Names of the metrics and what they mean. No torch here: forms and pages list them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

Kind = Literal["image", "pair", "reference", "prompt", "seeds"]
Better = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Metric:
    """A number about one image, about the two images of a pair, or about an image and something else.

    kind: what it needs beside the image: nothing, the pair's other image, a reference, the prompt, or images
    of other seeds.
    version: of its formula and weights; a score is kept under it, so it changes whenever the same picture
    could get another value. better: the direction that people would call better, or none where there is no
    such direction. span: the values that it takes, as its authors give them. alone: it depends on the batch
    or draws random crops, so images are scored one by one, each from the same random state.
    """

    name: str
    kind: Kind
    version: str
    better: Better
    words: str
    span: str = ""
    alone: bool = False
    pyiqa: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value that it can have; infinite where its authors set no end."""
        low, _, high = self.span.partition(", ")
        return (-inf if "~" in low or not low else float(low)), (
            inf if "~" in high or not high else float(high)
        )


PYIQA_VERSION = "pyiqa-0.1.16"


def _pyiqa(name: str, kind: Kind, better: Better, span: str, words: str = "", alone: bool = False) -> Metric:
    words = words or f"{name} of pyiqa, {span}"
    return Metric(name, kind, PYIQA_VERSION, better, words, span, alone, pyiqa=True)


# The metrics that pages offer.
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("brightness", "image", "1", "none", "mean luma, 0 to 1", "0, 1"),
        Metric("contrast", "image", "1", "none", "standard deviation of luma", "0, .5"),
        Metric("sharpness", "image", "1", "none", "variance of luma's Laplacian", "0, ~"),
        Metric("tenengrad", "image", "1", "none", "mean squared Sobel gradient of luma", "0, ~"),
        Metric("colourfulness", "image", "1", "none", "Hasler and Süsstrunk's, on 0 to 255", "0, ~110"),
        Metric("saturation", "image", "1", "none", "mean saturation of HSV, 0 to 1", "0, 1"),
        Metric("clipped", "image", "1", "lower", "share of pixels with a channel at 0 or 255", "0, 1"),
        Metric("high_frequency", "image", "1", "none", "share of luma's energy in the finest octave", "0, 1"),
        Metric(
            "extremes", "image", "1", "lower", "share of luma's pixels that stand out from all sides", "0, 1"
        ),
        _pyiqa("musiq", "image", "higher", "~0, ~100", "MUSIQ (KonIQ-10k), about 0 to 100"),
        _pyiqa("clipiqa", "image", "higher", "0, 1", "CLIP-IQA, 0 to 1"),
        _pyiqa("nima", "image", "higher", "0, 10", "NIMA (AVA), 1 to 10"),
        _pyiqa("niqe", "image", "lower", "~0, ~100", "NIQE, distance to natural pictures"),
        _pyiqa("piqe", "image", "lower", "0, 100", "PIQE, perceived distortion, 0 to 100"),
        Metric(
            "drift",
            "pair",
            "2",
            "higher",
            "CLIP similarity of the pair's two images; 1 is the same",
            "-1, 1",
        ),
        Metric(
            "seed_similarity",
            "seeds",
            "2",
            "none",
            "drift's yardstick: CLIP similarity of a baseline image to those of other seeds",
            "-1, 1",
        ),
        Metric("clip_score", "prompt", "1", "higher", "CLIP similarity of image and prompt", "-1, 1"),
    )
}
DEFAULT = (
    "brightness",
    "contrast",
    "sharpness",
    "colourfulness",
    "saturation",
    "clipped",
    "high_frequency",
    "extremes",
    "drift",
    "seed_similarity",
    "clip_score",
    "musiq",
    "clipiqa",
    "nima",
)

# The other metrics of pyiqa that judge one image, or an image by its reference: name, better, span. Those
# marked * depend on the batch or on random crops (issues 48, 130 and 178 of pyiqa).
_OF_ONE = """
niqe_matlab lower ~0, ~100
ilniqe lower ~0, ~100
brisque lower ~0, ~150
brisque_matlab lower ~0, ~100
nrqm higher ~0, ~10
pi lower ~0, ~
cnniqa* higher ~0, ~1
musiq-ava higher 1, 10
musiq-paq2piq higher ~0, ~100
musiq-spaq higher ~0, ~100
nima-koniq higher ~0, ~1
nima-spaq higher ~0, ~1
nima-vgg16-ava higher 0, 10
paq2piq higher ~0, ~100
dbcnn higher ~0, ~1
maniqa* higher ~0, ~1
maniqa-pipal* higher ~0, ~1
maniqa-kadid* higher ~0, ~1
clipiqa+ higher 0, 1
clipiqa+_vitL14_512 higher 0, 1
clipiqa+_rn50_512 higher 0, 1
fgresq* higher 0, 1
tres* higher ~0, ~100
tres-flive* higher ~0, ~100
hyperiqa* higher ~0, ~1
metaiqa higher 0, 1
uranker* higher ~-1, ~2
entropy higher 0, 8
topiq_nr higher ~0, ~1
topiq_nr-flive higher ~0, ~1
topiq_nr-spaq higher ~0, ~1
topiq_nr-face higher ~0, ~1
topiq_nr_swin-face higher ~0, ~1
topiq_nr-face-v1 higher ~0, ~1
topiq_iaa higher 1, 10
topiq_iaa_res50 higher 1, 10
laion_aes higher ~1, ~10
liqe* higher 1, 5
liqe_mix* higher 1, 5
wadiqam_nr* higher ~-1, ~0.1
qalign* higher 1, 5
qalign_8bit* higher 1, 5
qalign_4bit* higher 1, 5
qrealign* higher 0, 1
qrealign-mini* higher 0, 1
qrealign-lite* higher 0, 1
qrealign-pro* higher 0, 1
compare2score* higher 0, 100
unique higher ~-3, ~3
arniqa higher 0, 1
arniqa-live higher 0, 1
arniqa-csiq higher 0, 1
arniqa-tid higher 0, 1
arniqa-kadid higher 0, 1
arniqa-clive higher 0, 1
arniqa-flive higher 0, 1
arniqa-spaq higher 0, 1
maclip* higher 0, 1
qualiclip higher 0, 1
qualiclip+ higher 0, 1
qualiclip+-clive higher 0, 1
qualiclip+-flive higher 0, 1
qualiclip+-spaq higher 0, 1
afine_nr* lower -2, 2
"""
_OF_TWO = """
ahiq* higher ~0, ~1
ckdn higher 0, 1
lpips lower 0, 1
lpips-vgg lower 0, 1
lpips+ lower 0, 1
lpips-vgg+ lower 0, 1
stlpips lower 0, 1
stlpips-vgg lower 0, 1
dists lower 0, 1
deepdc lower 0, 1
ssim higher 0, 1
ssimc higher 0, 1
psnr higher ~0, ~40
psnry higher ~0, ~60
fsim higher 0, 1
ms_ssim higher 0, 1
vif higher 0, ~1
gmsd lower 0, ~1
nlpd lower 0, 1
vsi higher 0, ~1
cw_ssim higher 0, 1
mad lower 0, ~
pieapp* lower ~0, ~5
topiq_fr higher ~0, ~1
topiq_fr-pipal higher ~0, ~1
wadiqam_fr* higher ~-1, ~0.1
msswd* lower 0, ~10
dmm* higher 0, ~
afine_fr* lower -2, 2
afine_all_scale* lower 0, 100
afine_all* lower ~, 2
"""


def _read(table: str, kind: Kind) -> dict[str, Metric]:
    found = {}
    for line in table.split("\n")[1:-1]:
        name, better, span = line.split(" ", 2)
        bare: str = name.rstrip("*")
        direction: Better = "lower" if better == "lower" else "higher"
        found[bare] = _pyiqa(bare, kind, direction, span, alone=name.endswith("*"))
    return found


OTHERS: Mapping[str, Metric] = {**_read(_OF_ONE, "image"), **_read(_OF_TWO, "reference")}


def find(name: str) -> Metric | None:
    """What a metric's name means, offered or not; None for a name that this version doesn't know."""
    return METRICS.get(name) or OTHERS.get(name)
