"""A small class-conditional DDPM on photographs of 32×32 pixels, saved in diffusers' own format."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from generation.starter.card import Facts
from generation.starter.photographs import Collection, crops, decode, middle

SIDE = 32
MARGIN = 4  # photographs are decoded this much larger, and cropped
BATCH = 16
RATE = 4e-4
SEED = 0
SAMPLE_STEPS = 50
SAMPLES = 6  # of each class


class Ddpm:
    """ε-prediction with the linear β schedule (Ho et al. 2020), labels added to the time embedding."""

    batch = BATCH
    measure = "loss on held-out photographs, averaged weights"

    def __init__(self, collection: Collection) -> None:
        torch.manual_seed(SEED)
        self.collection = collection
        self.kind = f"ddpm of {', '.join(collection.classes)}"
        self.images, self.labels = decode(collection.training, SIDE + MARGIN)
        held_out, self.held_out_labels = decode(collection.held_out, SIDE + MARGIN)
        self.held_out = middle(held_out, SIDE)
        # diffusers hides its classes' methods from type checkers.
        self.scheduler: Any = DDPMScheduler()
        unet: Any = UNet2DModel(
            sample_size=SIDE,
            layers_per_block=1,
            block_out_channels=(48, 96, 96),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            norm_num_groups=16,
            attention_head_dim=32,
            num_class_embeds=len(collection.classes),
        )
        self.unet = unet.to(memory_format=torch.channels_last)
        self.average = EMAModel(self.unet.parameters(), decay=0.9995)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
        self.generator = torch.Generator().manual_seed(SEED)

    def step(self, rate: float) -> float:
        chosen = torch.randint(len(self.images), (self.batch,), generator=self.generator)
        clean = _to_model(crops(self.images[chosen], SIDE, self.generator))
        noise = torch.randn(clean.shape, generator=self.generator)
        times = torch.randint(self._levels, (self.batch,), generator=self.generator)
        self.unet.train()
        loss = self._loss(clean, noise, times, self.labels[chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.step(self.unet.parameters())
        return loss.item()

    @torch.no_grad()
    def check(self) -> float:
        """Loss of the averaged weights on the held-out photographs, always with the same noise."""
        if not len(self.held_out):
            return float("nan")
        generator = torch.Generator().manual_seed(SEED)
        total = 0.0
        self._with_average()
        for images, labels in zip(
            self.held_out.split(self.batch), self.held_out_labels.split(self.batch), strict=True
        ):
            clean = _to_model(images)
            noise = torch.randn(clean.shape, generator=generator)
            times = torch.randint(self._levels, (len(clean),), generator=generator)
            total += self._loss(clean, noise, times, labels).item() * len(clean)
        self.average.restore(self.unet.parameters())
        return total / len(self.held_out)

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.unet.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def export(self, folder: Path) -> None:
        """Write the averaged weights in half precision, the labels, and a sheet of samples.

        `DDPMPipeline.from_pretrained(folder)` loads it.
        """
        self._with_average()
        sheet(self.unet, self.scheduler, len(self.collection.classes)).save(
            folder / "samples.png", optimize=True
        )
        half: Any = UNet2DModel.from_config(self.unet.config)
        half.load_state_dict(self.unet.state_dict())
        pipeline: Any = DDPMPipeline(half.half(), self.scheduler)
        pipeline.save_pretrained(folder)
        self.average.restore(self.unet.parameters())
        labels = {str(label): name for label, name in enumerate(self.collection.classes)}
        (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")

    def facts(self) -> Facts:
        names = self.collection.classes
        return Facts(
            library="diffusers",
            task="unconditional-image-generation",
            tags=("ddpm", "class-conditional"),
            summary=(
                f"A denoising diffusion model (DDPM, Ho et al. 2020) of {SIDE}×{SIDE} pixels for "
                f"{len(names)} classes ({', '.join(names)}): a U-Net of "
                f"{sum(p.numel() for p in self.unet.parameters()) / 1e6:.1f} million parameters that "
                "predicts ε, with the linear β schedule of 1,000 steps, in half precision. It is small "
                "enough to sample in seconds on a CPU, so that samplers can be compared anywhere."
            ),
            use=(
                "```python\n"
                "from diffusers import DDPMPipeline\n\n"
                'pipeline = DDPMPipeline.from_pretrained("PATH")  # .unet and .scheduler\n'
                "```\n\n"
                "`pipeline()` itself passes no class label, which the U-Net needs: call "
                "`pipeline.unet(x, t, class_labels=labels)`. `labels.json` names the labels."
            ),
            recipe=(
                f"AdamW at a rate of {RATE:g}, batches of {self.batch}, gradients clipped at norm 1, an "
                "average of the weights (0.9995, with warm-up), crops from "
                f"{SIDE + MARGIN} pixels and mirror images."
            ),
            results=(
                f"Samples, a row for each class in the order above: {SAMPLE_STEPS} steps of diffusers' "
                f"`DDPMScheduler`, seed {SEED}, not selected.\n\n![samples](samples.png)"
            ),
            limits=(
                "An hour or so on a CPU teaches it the colours of flowers and meadows and blurred blossoms, "
                "not petals. It is for trying out samplers and the platform, not for making pictures of "
                "flowers. It gives back what photo sites show of flowers, with their bias."
            ),
        )

    @property
    def _levels(self) -> int:
        return int(self.scheduler.config.num_train_timesteps)

    def _with_average(self) -> None:
        self.average.store(self.unet.parameters())
        self.average.copy_to(self.unet.parameters())
        self.unet.eval()

    def _loss(self, clean: Tensor, noise: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        noisy = self.scheduler.add_noise(clean, noise, times).to(memory_format=torch.channels_last)
        # bfloat16 is twice as fast where the processor has it and ten times slower where it has not.
        fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            predicted = self.unet(noisy, times, class_labels=labels).sample
        return F.mse_loss(predicted.float(), noise)


@torch.no_grad()
def sheet(unet: Any, scheduler: Any, classes: int) -> Image.Image:
    """A row of samples for each class, made by diffusers' own DDPM steps, at twice their size.

    unet, scheduler: a UNet2DModel with class labels and a DDPMScheduler.
    """
    labels = torch.arange(classes).repeat_interleave(SAMPLES)
    generator = torch.Generator().manual_seed(SEED)
    scheduler.set_timesteps(SAMPLE_STEPS)
    rows = []
    for part in labels.split(SAMPLES):
        x = torch.randn(SAMPLES, 3, SIDE, SIDE, generator=generator)
        for t in scheduler.timesteps:
            x = scheduler.step(unet(x, t, class_labels=part).sample, t, x, generator=generator).prev_sample
        rows.append(torch.cat(list(x), dim=2))
    pixels = (torch.cat(rows, dim=1) / 2 + 0.5).clamp(0, 1).mul(255).round().byte()
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)


def _to_model(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 to float in [-1, 1]."""
    return images.float() / 127.5 - 1
