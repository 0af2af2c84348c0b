"""Weight files of the true layout with random values, as pyiqa's own classes lay them out."""

import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy.io
import timm
import torch
from pyiqa.archs.clip_model import CLIP
from pyiqa.archs.musiq_arch import MUSIQ
from pyiqa.archs.nima_arch import NIMA


def musiq(path: Path) -> Path:
    """A plain state dict."""
    torch.manual_seed(1)
    torch.save(MUSIQ(pretrained=False).state_dict(), path)
    return path


def nima(path: Path) -> Path:
    """A state dict under `params`, backbone and head."""
    torch.manual_seed(2)
    create = timm.create_model
    with patch.object(timm, "create_model", lambda *a, **k: create(*a, **k | {"pretrained": False})):
        model = NIMA(base_model_name="inception_resnet_v2", pretrained=False)
    torch.save({"params": model.state_dict()}, path)
    return path


def clip_rn50(path: Path) -> Path:
    """A TorchScript archive, as OpenAI's files are; fewer blocks and narrower than RN50, with its names."""
    torch.manual_seed(3)
    model = CLIP(
        embed_dim=64,
        image_resolution=224,
        vision_layers=(1, 1, 1, 1),
        vision_width=64,
        vision_patch_size=None,
        context_length=77,
        vocab_size=49408,
        transformer_width=64,
        transformer_heads=1,
        transformer_layers=2,
    ).eval()
    images, texts = torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have no such archives any more
        torch.jit.save(torch.jit.trace(model, (images, texts), check_trace=False), path)
    return path


def niqe(path: Path, seed: int = 4) -> Path:
    """The means and covariances of 36 features."""
    random = np.random.default_rng(seed)
    spread = random.normal(size=(36, 36))
    scipy.io.savemat(path, {"mu_prisparam": random.normal(size=(1, 36)), "cov_prisparam": spread @ spread.T})
    return path
