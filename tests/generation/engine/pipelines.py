"""Small random pipelines, built of diffusers' components as its own tests build them, saved to a folder."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    LDMPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CLASSES = ("daisy", "rose", "tulip")
WORDS = ("a", "red", "rose", "in", "the", "rain", "blurred")
LONGEST = 12  # tokens that the text encoder takes


def unet(**changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    config: dict[str, Any] = {
        "block_out_channels": (4, 8),
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "sample_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
    }
    return UNet2DModel(**config | changes)


def ddpm(folder: Path, *, classes: bool = False, size: Any = 8, channels: int = 3, **scheduler: Any) -> Path:
    changes = {"num_class_embeds": len(CLASSES)} if classes else {}
    net = unet(sample_size=size, in_channels=channels, out_channels=channels, **changes)
    DDPMPipeline(net, DDPMScheduler(**scheduler)).save_pretrained(folder)
    if classes:
        (folder / "labels.json").write_text(json.dumps(dict(enumerate(CLASSES))))
    return folder


def ldm(folder: Path, **scheduler: Any) -> Path:
    torch.manual_seed(1)
    vqvae = VQModel(
        block_out_channels=(4, 8),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=3,
        num_vq_embeddings=16,
    )
    pipe = LDMPipeline(vqvae, unet(), DDIMScheduler(**{"clip_sample": False} | scheduler))
    pipe.save_pretrained(folder)
    return folder


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(4, 8),
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )


def dit(folder: Path) -> Path:
    torch.manual_seed(3)
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=4,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        num_embeds_ada_norm=1000,
    )
    for parameter in transformer.parameters():  # its last layers begin at 0: labels would do nothing
        torch.nn.init.normal_(parameter, std=0.2)
    names = {0: "tench, Tinca tinca", 1: "goldfish"}
    pipe = DiTPipeline(transformer, autoencoder(), DDIMScheduler(clip_sample=False), id2label=names)
    pipe.save_pretrained(folder)
    return folder


def tokenizer(folder: Path) -> CLIPTokenizer:
    letters = [chr(i) for i in range(ord("a"), ord("z") + 1)]
    pairs = [f"{a} {b}" for word in WORDS for a, b in _merges(word)]
    merges = list(dict.fromkeys(pairs))
    tokens = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair.split()) for pair in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(dict.fromkeys(tokens))}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LONGEST)


def _merges(word: str) -> list[tuple[str, str]]:
    parts = [*word[:-1], word[-1] + "</w>"]
    found = []
    while len(parts) > 1:
        found.append((parts[0], parts[1]))
        parts[:2] = [parts[0] + parts[1]]
    return found


def stable_diffusion(folder: Path, **scheduler: Any) -> Path:
    torch.manual_seed(4)
    net = UNet2DConditionModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        norm_num_groups=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
    )
    words = tokenizer(folder / "words")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LONGEST,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        )
    )
    levels = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    pipe = StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=text,
        tokenizer=words,
        unet=net,
        scheduler=DDIMScheduler(**levels | {"clip_sample": False, "steps_offset": 1} | scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder
