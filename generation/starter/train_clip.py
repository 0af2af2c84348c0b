"""A small open_clip model of 32×32 pixels, trained on photographs and captions made of class names."""

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from generation.starter.card import Facts
from generation.starter.photographs import Collection, crops, decode

SIDE = 32
MARGIN = 4  # pixels of reflected border that crops may take in
BATCH = 64
RATE = 1e-3
SEED = 0
COOLEST = math.log(100)  # the logit scale's upper bound (Radford et al. 2021, section 2.5)
MEAN, STD = (0.48, 0.45, 0.40), (0.26, 0.25, 0.27)

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        # timm's smallest residual network: a CPU gets through four times as many images as with a vision
        # transformer of half a million parameters.
        "vision_cfg": {
            "timm_model_name": "test_resnet",
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": SIDE,
        },
        # The vocabulary is open_clip's own, so its bundled tokenizer fits; most of the file is its table.
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}
TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "a small photo of a {}.",
    "a blurry photo of a {}.",
    "a close-up of a {}.",
    "an image of one {}.",
    "{}",
)


class Clip:
    """Image and caption towers trained so that a photograph is nearest to the captions of its class.

    The captions of a class are the same for all of its photographs, so a batch has many right answers for
    a caption: the loss is UniCL's (Yang et al. 2022), which is CLIP's where every caption occurs once.
    """

    batch = BATCH
    measure = "zero-shot accuracy on held-out photographs"

    def __init__(self, collection: Collection) -> None:
        torch.manual_seed(SEED)
        self.collection = collection
        self.kind = f"clip of {', '.join(collection.classes)}"
        images, self.labels = decode(collection.training, SIDE)
        self.images = F.pad(images, (MARGIN,) * 4, mode="reflect")
        self.held_out, self.held_out_labels = decode(collection.held_out, SIDE)
        self.model = open_clip.CLIP(**CONFIG["model_cfg"])
        tokenizer = open_clip.SimpleTokenizer(
            context_length=CONFIG["model_cfg"]["text_cfg"]["context_length"]
        )
        words = [name.replace("_", " ") for name in collection.classes]
        # (templates, classes, tokens)
        self.captions = torch.stack([tokenizer([t.format(word) for word in words]) for t in TEMPLATES])
        # Gains, biases and the scale aren't pulled towards zero.
        plain = [p for p in self.model.parameters() if p.ndim < 2]
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
            lr=RATE,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.generator = torch.Generator().manual_seed(SEED)

    def step(self, rate: float) -> float:
        chosen = torch.randint(len(self.images), (self.batch,), generator=self.generator)
        images = self._varied(crops(self.images[chosen], SIDE, self.generator))
        template = int(torch.randint(len(TEMPLATES), (), generator=self.generator))
        self.model.train()
        image = self.model.encode_image(images, normalize=True)
        text = self.model.encode_text(self.captions[template], normalize=True)
        loss = contrast(self.model.logit_scale.exp() * image @ text.T, self.labels[chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, COOLEST)
        return loss.item()

    def check(self) -> float:
        if not len(self.held_out):
            return float("nan")
        return self._right().double().mean().item()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def export(self, folder: Path) -> None:
        """Write the weights in half precision and open_clip's configuration.

        `open_clip.create_model_from_pretrained(f"local-dir:{folder}")` loads it.
        """
        # Vectors are small and some (variances) need the range.
        weights = {k: v.half() if v.ndim > 1 else v for k, v in self.model.state_dict().items()}
        save_file({k: v.contiguous() for k, v in weights.items()}, folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")

    def facts(self) -> Facts:
        right = self._right() if len(self.held_out) else None
        rows = []
        for label, name in enumerate(self.collection.classes):
            own = self.held_out_labels == label
            if right is not None and own.any():
                rows.append(f"| {name} | {int(own.sum())} | {right[own].double().mean():.2f} |")
        table = ["| class | held out | zero-shot accuracy |", "| --- | ---: | ---: |", *rows]
        visual = self.model.visual
        return Facts(
            library="open_clip",
            tags=("clip", "zero-shot-image-classification"),
            task="zero-shot-image-classification",
            summary=(
                f"A small CLIP model for images of {SIDE}×{SIDE} pixels: a residual network of "
                f"{_size(visual)} parameters (timm's `test_resnet`) for images, a transformer of 2 layers "
                f"and width 32 for captions, together {_size(self.model)} parameters, most of them the "
                "vocabulary's, in half precision. It measures how alike the two images of a pair are, "
                "without a network."
            ),
            use=(
                "```python\n"
                "import open_clip\n\n"
                'model, preprocess = open_clip.create_model_from_pretrained("local-dir:PATH")\n'
                'tokenizer = open_clip.get_tokenizer("local-dir:PATH")\n'
                "```"
            ),
            recipe=(
                f"Captions are class names in {len(TEMPLATES)} templates, one template a step; the loss is "
                "UniCL's (Yang et al. 2022). AdamW at a rate of "
                f"{RATE:g}, batches of {self.batch}, crops from a reflected border, mirror images, and "
                "a random brightness and contrast, so that the model looks at what a picture shows."
            ),
            results="Zero-shot accuracy, each class by the mean of its captions:\n\n" + "\n".join(table),
            limits=(
                "It knows these classes and little else: two images of one class are close to it though "
                "they show different things, and its similarities are not those of a larger CLIP model. "
                "Compare them with the similarity of two seeds of the baseline, never with a fixed "
                "threshold."
            ),
        )

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, 32, 32) uint8 to (B, d) of length 1."""
        embedding: Tensor = self.model.encode_image(_to_model(images), normalize=True)
        return embedding

    @torch.no_grad()
    def _right(self) -> Tensor:
        """Whether each held-out photograph is nearest to its own class. Returns (n,) bool."""
        self.model.eval()
        text = torch.stack([self.model.encode_text(c, normalize=True) for c in self.captions]).mean(0)
        text = F.normalize(text, dim=1)
        nearest = [
            (self.model.encode_image(_to_model(images), normalize=True) @ F.normalize(text, dim=1).T).argmax(
                1
            )
            for images in self.held_out.split(self.batch)
        ]
        return torch.cat(nearest) == self.held_out_labels

    def _varied(self, images: Tensor) -> Tensor:
        """Model input with each image's contrast and brightness changed a little at random."""
        gain = 0.7 + 0.6 * torch.rand(len(images), 1, 1, 1, generator=self.generator)
        shift = 0.3 * (torch.rand(len(images), 1, 1, 1, generator=self.generator) - 0.5)
        return gain * _to_model(images) + shift / torch.tensor(STD).view(3, 1, 1)


def contrast(logits: Tensor, labels: Tensor) -> Tensor:
    """UniCL's loss in both directions (Yang et al. 2022, equations 2 to 4).

    logits: (images, captions), a caption for each class. labels: (images,), each image's class.
    A class that no image of the batch belongs to has no image to be matched with, and is left out of the
    captions' direction.
    """
    matches = F.one_hot(labels, logits.shape[1]).T.float()
    present = matches.sum(1) > 0
    goals = matches[present] / matches[present].sum(1, keepdim=True)
    from_images = F.cross_entropy(logits, labels)
    from_captions = F.cross_entropy(logits.T[present], goals)
    return (from_images + from_captions) / 2


def _to_model(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to what open_clip's preprocessing gives."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (images.float() / 255 - mean) / std


def _size(module: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} million"
