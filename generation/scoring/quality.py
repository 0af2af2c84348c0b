"""Quality metrics of pyiqa. The only module that imports it: it is an optional part (extra `iqa`).

pyiqa prints while it loads, fetches weights on its own, and unpickles them whatever they hold. Here it says
nothing, gets its files from `weights`, and reads them as plain tensors.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any
from unittest.mock import patch

import huggingface_hub
import numpy as np
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from torch import Tensor

from generation.scoring import names
from generation.scoring.weights import KNOWN, Unavailable, Weight, Weights, digest

SEED = 0  # of metrics that draw random crops
_BACKBONES = {"CLIPIQA": "clipiqa"}  # whose weights are not asked for by address
# Smaller pictures make them fail, some of them with a message that doesn't say so.
SMALLEST = {"ms_ssim": 192, "niqe": 96, "niqe_matlab": 96, "vif": 64, "cw_ssim": 64, "piqe": 16}
_lock = threading.RLock()  # pyiqa sets cuDNN's flags for the whole process while it computes
_judges: dict[tuple[str, str, tuple[str, ...]], Judge] = {}


@dataclass(frozen=True)
class Judge:
    """A loaded metric; weights: SHA-256 of its file, joined by + where there are several, or empty."""

    metric: names.Metric
    weights: str
    model: Callable[..., Any]

    def score(self, images: Tensor, reference: Tensor | None = None) -> list[float]:
        """images, reference: (B, 3, H, W) in [0, 1]. Returns B values, NaN where it has none for a picture.

        Raises Unavailable for pictures that are too small for the metric.
        """
        side, least = min(images.shape[2:]), SMALLEST.get(self.metric.name, 1)
        if side < least:
            raise Unavailable(
                f"{self.metric.name} needs pictures of {least} pixels a side, not {side}: leave it out."
            )
        size = 1 if self.metric.alone else len(images)
        found: list[float] = []
        with _lock, torch.no_grad():
            for start in range(0, len(images), size):
                found += self._of([p[start : start + size] for p in (images, reference) if p is not None])
        return [value if isfinite(value) else nan for value in found]

    def _of(self, parts: Sequence[Tensor]) -> list[float]:
        """Values of one batch."""
        try:
            with _same_random_state() if self.metric.alone else contextlib.nullcontext():
                return torch.as_tensor(self.model(*parts)).double().reshape(-1).tolist()
        except torch.linalg.LinAlgError:
            # Of an even picture NIQE's equations have no solution; the others of its batch have values.
            if (count := len(parts[0])) == 1:
                return [nan]
            return [value for i in range(count) for value in self._of([part[i : i + 1] for part in parts])]


def load(name: str, weights: Weights, device: str = "cpu", *, online: bool = False) -> Judge:
    """A metric of pyiqa, kept for the life of the process.

    online: a backbone that is neither here nor in the hub's cache may be fetched from the hub.
    Raises Unavailable where pyiqa or a weight file is missing, or can't be loaded.
    """
    metric = names.find(name)
    if metric is None or not metric.pyiqa:
        raise Unavailable(f"{name} is no metric of pyiqa.")
    weights.check(name)  # before the slow import
    with _lock:
        files = _state(name, weights)
        if (key := (name, device, files)) not in _judges:
            _judges[key] = _build(metric, weights, device, online)
        return _judges[key]


def _state(name: str, weights: Weights) -> tuple[str, ...]:
    """What tells one loaded metric from another: its file's content, or the folder that it was sought in."""
    own = weights.own(name)
    return (digest(own) if own else "", str(weights.folder))


def _build(metric: names.Metric, weights: Weights, device: str, online: bool) -> Judge:
    pyiqa = _imported()
    used: dict[Path, str] = {}  # SHA-256 by file

    def local(url: str, *args: Any, **options: Any) -> str:
        """The path of a published file, in place of pyiqa's download."""
        path = weights.path(metric.name, KNOWN.get(metric.name) or Weight.at(url.partition("?")[0]))
        used[path] = digest(path)
        return str(path)

    options = {}
    kind = pyiqa.default_model_configs.DEFAULT_CONFIGS[metric.name]["metric_opts"]["type"]
    if kind in _BACKBONES:
        options["backbone"] = local(KNOWN[_BACKBONES[kind]].url)
    try:
        with _own_loading(local, online), _no_backbone(kind), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what pyiqa uses of PyTorch
            model = pyiqa.create_metric(metric.name, device=device, **options)
    except Unavailable:
        raise
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise Unavailable(
            f"{metric.name} builds on a model of the Hugging Face hub that is not in its cache here: run "
            f"`python manage.py weights fetch {metric.name}` where there is a network, and set HF_HOME to "
            "the folder that the hub's files were put into."
        ) from error
    except Exception as error:  # whatever a file that isn't the metric's makes of it
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        files = f" from {', '.join(map(str, used))} (is it this metric's file?)" if used else ""
        raise Unavailable(f"{metric.name} can't be loaded{files}: {why[:200]}") from error
    return Judge(metric, "+".join(sorted(set(used.values()))), model)


def _imported() -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import pyiqa
            import pyiqa.utils.download_util
    except ImportError as error:
        raise Unavailable(f"pyiqa is not installed ({error}): pip install 'evalsite[iqa]'.") from error
    logging.getLogger("pyiqa").setLevel(logging.WARNING)
    return pyiqa


@contextlib.contextmanager
def _own_loading(local: Callable[..., str], online: bool) -> Iterator[None]:
    """While a metric is built: its files come from `local`, hold tensors only, and nothing is printed."""
    load_anything = torch.load

    def put(url: str, place: str, *args: Any, **options: Any) -> None:
        """In place of PyTorch's download into its own cache."""
        shutil.copyfile(local(url), place)

    def load_tensors(*args: Any, **options: Any) -> Any:
        return load_anything(*args, **options | {"weights_only": True})

    with contextlib.ExitStack() as patches:
        for module in [m for n, m in sys.modules.items() if n.startswith("pyiqa.")]:
            if hasattr(module, "load_file_from_url"):
                patches.enter_context(patch.object(module, "load_file_from_url", local))
        patches.enter_context(patch.object(torch, "load", load_tensors))
        patches.enter_context(patch.object(torch.hub, "download_url_to_file", put))
        if not online:
            patches.enter_context(patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        patches.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield


@contextlib.contextmanager
def _no_backbone(kind: str) -> Iterator[None]:
    """NIMA's file holds the whole network, and yet pyiqa fetches its backbone first."""
    if kind != "NIMA":
        yield
        return
    import timm

    create = timm.create_model
    with patch.object(
        timm, "create_model", lambda *args, **options: create(*args, **options | {"pretrained": False})
    ):
        yield


@contextlib.contextmanager
def _same_random_state() -> Iterator[None]:
    """PyTorch's and NumPy's random numbers from the same seed, and then as they were before."""
    before = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        np.random.seed(SEED)
        try:
            yield
        finally:
            np.random.set_state(before)
