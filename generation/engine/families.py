"""The model families as "encode, predict, decode", each a thin adapter over components of diffusers.

A pipeline is loaded by diffusers' `from_pretrained`; then only its components are used, with no safety
checker, which could blank one arm of a pair. A fifth family is one new subclass of `Model` here and its
pipeline's name in `generation.sources`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import diffusers
import torch
import transformers
from torch import Tensor

from generation.conditions import Dtype, NotAllowed, check
from generation.sources import BadModel, Family, describe, family_of, find_label, labels_of, read_json

from .files import HubUnreachable, fetch, first_line, hashes, weights
from .step import schedule_of

__all__ = ["FAMILIES", "Context", "Guidance", "HubUnreachable", "Item", "Model", "Origin", "Split", "load"]


@dataclass(frozen=True)
class Item:
    """What is drawn: a seed, with a class or a prompt where the model takes one."""

    seed: int
    label: int | None = None
    prompt: str = ""
    negative_prompt: str = ""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance of this scale; 1 or less is none.

    channels: how many of the latent's channels are guided; None, as diffusers does it, is all of them
    (DiT's own code guides the first three).
    """

    scale: float = 1.0
    channels: int | None = None

    @property
    def on(self) -> bool:
        return self.scale > 1


@dataclass(frozen=True)
class Context:
    """What the network is told beside (x, t): (B, …) tensors by argument name.

    blank: the same for the unconditional half of guidance, or None where nothing is guided.
    """

    given: Mapping[str, Tensor] = field(default_factory=dict)
    blank: Mapping[str, Tensor] | None = None
    guidance: Guidance = Guidance()
    warnings: tuple[str, ...] = ()

    def rows(self, index: Tensor) -> Context:
        """The context for a batch whose row i draws item index[i]."""
        given = {name: tensor[index] for name, tensor in self.given.items()}
        blank = None if self.blank is None else {name: tensor[index] for name, tensor in self.blank.items()}
        return Context(given, blank, self.guidance)


@dataclass(frozen=True)
class Split:
    """The most that goes into one pass: evaluations (guidance doubles each), decoded images; None is all."""

    forward: int | None = None
    decode: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where a loaded model came from. commit: of the hub, or empty for a folder."""

    source: str
    commit: str
    folder: Path
    labels: Mapping[int, str]


class Model:
    """A loaded model. Subclasses say which components there are and how items are encoded, images decoded.

    shape: (C, H, W) of what is denoised. T: training timesteps. Both halves of guidance go in one forward.
    """

    family: ClassVar[Family]
    network: ClassVar[str] = "unet"
    others: ClassVar[tuple[str, ...]] = ()
    default_guidance: ClassVar[float | None] = None

    def __init__(
        self,
        pipe: Any,
        origin: Origin,
        device: torch.device,
        dtype: torch.dtype,
        *,
        compiled: bool = False,
        graphs: bool = False,
    ) -> None:
        self.origin = origin
        self.device = device
        self.dtype = dtype
        self.options = {"compiled": compiled, "graphs": graphs}
        self.scheduler = _scheduler(pipe.scheduler)
        self.schedule = schedule_of(self.scheduler)
        for name in (self.network, *self.others):
            part = getattr(pipe, name).to(device).eval().requires_grad_(False)
            setattr(self, name, part)
        self.config = getattr(self, self.network).config
        self.shape = self._shape()
        self.net = _accelerated(getattr(self, self.network), compiled=compiled, graphs=graphs)
        self.fits = Split()  # what memory has allowed so far
        self._check()

    @property
    def source(self) -> str:
        return self.origin.source

    @property
    def commit(self) -> str:
        return self.origin.commit

    @property
    def labels(self) -> Mapping[int, str]:
        return self.origin.labels

    @property
    def takes(self) -> str:
        """What an item needs beside its seed, as `Source.takes` says it."""
        return "labels" if self.labels else "nothing"

    @property
    def T(self) -> int:
        return self.schedule.T

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of every file that the model was made from, by its path in the model's folder."""
        return hashes(self.origin.folder, ("scheduler", "tokenizer", self.network, *self.others))

    def encode(self, items: Sequence[Item], guidance: Guidance) -> Context:
        """What the network is told of each item. Raises NotAllowed for an item that the model can't take."""
        self._refuse(items, labels=True, prompts=True)
        return Context()

    def predict(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        """The guided output for x (R, C, H, W) at t (R,), float32; a learned-variance head is left off."""
        x = x.to(self.dtype)
        channels = x.shape[1]
        if context.blank is None:
            return self._forward(x, t, context.given)[:, :channels].to(torch.float32, copy=True)
        both = {name: torch.cat([tensor, context.blank[name]]) for name, tensor in context.given.items()}
        output = self._forward(torch.cat([x, x]), torch.cat([t, t]), both)[:, :channels].float()
        conditional, unconditional = output.chunk(2)
        guided = unconditional + context.guidance.scale * (conditional - unconditional)
        if context.guidance.channels is None:
            return guided
        return torch.cat(
            [guided[:, : context.guidance.channels], conditional[:, context.guidance.channels :]], 1
        )

    def decode(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W), float32, 1 white and -1 black, not clamped, from x on the clean level."""
        return x

    def space(self, images: Tensor) -> Tensor:
        """What the sampler works on, (B, *shape), of images (B, 3, H, W), float32, 1 white and -1 black."""
        return images if self.shape[0] == images.shape[1] else images.mean(1, keepdim=True)

    def _encoded_by(self, coder: Any, images: Tensor) -> Tensor:
        found = coder.encode(images.to(self.device, self.dtype))
        # A VQ model says its latents, a VAE a distribution of them.
        latents = found.latents if hasattr(found, "latents") else found.latent_dist.mode()
        scaled: Tensor = latents.float() * coder.config.scaling_factor
        return scaled.cpu()

    def _decoded_by(self, decoder: Any, x: Tensor) -> Tensor:
        scaled = (x / decoder.config.scaling_factor).to(self.dtype)
        decoded: Tensor = decoder.decode(scaled, return_dict=False)[0]
        return decoded.float()

    def _forward(self, x: Tensor, t: Tensor, told: Mapping[str, Tensor]) -> Tensor:
        if self.options["graphs"]:
            torch.compiler.cudagraph_mark_step_begin()
        output: Tensor = self.net(x, t, return_dict=False, **told)[0]
        return output

    def _shape(self) -> tuple[int, int, int]:
        size = self.config.sample_size
        if not size:
            raise BadModel(f"{self.source}: {self.network}/config.json says no sample_size.")
        height, width = (size, size) if isinstance(size, int) else size
        return self.config.in_channels, height, width

    def _check(self) -> None:
        """Raises BadModel where the components do not fit each other or this family."""

    def _check_latents(self, decoder: Any) -> None:
        if self.config.in_channels != decoder.config.latent_channels:
            raise BadModel(
                f"{self.source}: the network takes {self.config.in_channels} channels, the decoder"
                f" {decoder.config.latent_channels}; it is made for another task than drawing from noise."
            )

    def _refuse(self, items: Sequence[Item], *, labels: bool = False, prompts: bool = False) -> None:
        for item in items:
            if labels and item.label is not None:
                raise NotAllowed("label", item.label, f"none: {self.source} takes {self.takes}")
            if prompts and (item.prompt or item.negative_prompt):
                text = item.prompt or item.negative_prompt
                raise NotAllowed("prompt", text, f"none: {self.source} takes {self.takes}")

    def _label_tensor(self, items: Sequence[Item]) -> Tensor:
        self._refuse(items, prompts=True)
        ids = [find_label(self.labels, "" if item.label is None else item.label) for item in items]
        return torch.tensor(ids, device=self.device)


class DDPM(Model):
    """`DDPMPipeline`: pixels, with class labels where the UNet has `num_class_embeds`."""

    family = Family.DDPM

    def _check(self) -> None:
        if self.config.in_channels not in (1, 3):
            raise BadModel(
                f"{self.source}: images of {self.config.in_channels} channels; 1 or 3 are allowed."
            )

    def encode(self, items: Sequence[Item], guidance: Guidance) -> Context:
        if not self.labels:
            return super().encode(items, guidance)
        return Context({"class_labels": self._label_tensor(items)})


class LDM(Model):
    """`LDMPipeline`: unconditional latents of a VQ model."""

    family = Family.LDM
    others = ("vqvae",)
    vqvae: Any

    def _check(self) -> None:
        self._check_latents(self.vqvae)

    def decode(self, x: Tensor) -> Tensor:
        return self._decoded_by(self.vqvae, x)

    def space(self, images: Tensor) -> Tensor:
        return self._encoded_by(self.vqvae, images)


class DiT(Model):
    """`DiTPipeline`: a transformer on latents, guided by class labels."""

    family = Family.DIT
    network = "transformer"
    others = ("vae",)
    vae: Any
    default_guidance = 4.0

    def _check(self) -> None:
        self._check_latents(self.vae)

    def encode(self, items: Sequence[Item], guidance: Guidance) -> Context:
        labels = self._label_tensor(items)
        nothing = torch.full_like(labels, self.config.num_embeds_ada_norm)
        blank = {"class_labels": nothing} if guidance.on else None
        return Context({"class_labels": labels}, blank, guidance)

    def decode(self, x: Tensor) -> Tensor:
        return self._decoded_by(self.vae, x)

    def space(self, images: Tensor) -> Tensor:
        return self._encoded_by(self.vae, images)


class StableDiffusion(Model):
    """`StableDiffusionPipeline` 1.x and 2.x: latents guided by a prompt and a negative prompt."""

    family = Family.STABLE_DIFFUSION
    others = ("vae", "text_encoder")
    vae: Any
    text_encoder: Any
    default_guidance = 7.5

    def __init__(self, pipe: Any, *args: Any, **options: Any) -> None:
        self.tokenizer = pipe.tokenizer
        super().__init__(pipe, *args, **options)

    @property
    def takes(self) -> str:
        return "prompts"

    def _check(self) -> None:
        self._check_latents(self.vae)
        if self.config.time_cond_proj_dim is not None:
            raise BadModel(
                f"{self.source}: distilled to take its guidance as an input, which is not supported."
            )

    def encode(self, items: Sequence[Item], guidance: Guidance) -> Context:
        self._refuse(items, labels=True)
        given, cut = self._read([item.prompt for item in items])
        if not guidance.on:
            if any(item.negative_prompt for item in items):
                cut += (f"A negative prompt does nothing at guidance {guidance.scale:g}.",)
            return Context({"encoder_hidden_states": given}, None, guidance, cut)
        blank, more = self._read([item.negative_prompt for item in items])
        return Context(
            {"encoder_hidden_states": given}, {"encoder_hidden_states": blank}, guidance, cut + more
        )

    def decode(self, x: Tensor) -> Tensor:
        return self._decoded_by(self.vae, x)

    def space(self, images: Tensor) -> Tensor:
        return self._encoded_by(self.vae, images)

    def _read(self, prompts: list[str]) -> tuple[Tensor, tuple[str, ...]]:
        """(B, tokens, width) of the text encoder, and a warning for each prompt that it cuts."""
        config = self.text_encoder.config
        longest = min(self.tokenizer.model_max_length, config.max_position_embeddings)
        read = self.tokenizer(
            prompts, padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
        )
        mask = read.attention_mask.to(self.device) if getattr(config, "use_attention_mask", False) else None
        states = self.text_encoder(read.input_ids.to(self.device), attention_mask=mask)[0]
        return states, tuple(dict.fromkeys(filter(None, (self._cut(p, longest) for p in prompts))))

    def _cut(self, prompt: str, longest: int) -> str:
        ids = self.tokenizer(prompt, verbose=False).input_ids
        if len(ids) <= longest:
            return ""
        lost = self.tokenizer.decode(ids[longest - 1 : -1])
        return (
            f"Prompt {prompt!r}: the encoder takes {longest} tokens of its {len(ids)}; left out is {lost!r}."
        )


FAMILIES: Mapping[Family, type[Model]] = {cls.family: cls for cls in (DDPM, LDM, DiT, StableDiffusion)}


def load(
    source: str,
    revision: str = "",
    *,
    device: str = "",
    dtype: str = "float32",
    compiled: bool = False,
    graphs: bool = False,
) -> Model:
    """Load a model (see `generation.sources`) for drawing.

    device: empty is CUDA where there is one, else the CPU. compiled: torch.compile. graphs: CUDA graphs.
    Raises BadModel, HubUnreachable (which may pass), NotAllowed (device, dtype).
    """
    check("dtype", dtype)
    place = _device(device, graphs=graphs)
    found = describe(source, revision)
    if found.path is not None:
        folder, commit = found.path, ""
    else:
        folder, commit = fetch(source, found.revision, _parts)
    index = read_json(folder / "model_index.json")
    cls = FAMILIES[family_of(index, source)]
    origin = Origin(source, commit, folder, labels_of(folder, index, cls.family))
    pipe = _pipeline(cls, origin, index, getattr(torch, Dtype(dtype).value))
    try:
        return cls(pipe, origin, place, getattr(torch, Dtype(dtype).value), compiled=compiled, graphs=graphs)
    except BadModel:
        raise
    except ValueError as error:
        raise BadModel(f"{source}: {error}") from error


def _parts(family: Family) -> tuple[str, ...]:
    """The components of a family that are used."""
    return (FAMILIES[family].network, *FAMILIES[family].others)


def _device(name: str, *, graphs: bool) -> torch.device:
    if not name:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    allowed = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in (*allowed, *(["cuda"] if torch.cuda.is_available() else [])):
        raise NotAllowed("device", name, f"{' or '.join(allowed)}: what there is on this machine")
    if graphs and name == "cpu":
        raise NotAllowed("graphs", graphs, "off on a CPU: CUDA graphs need a GPU")
    return torch.device(name)


def _pipeline(cls: type[Model], origin: Origin, index: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """The pipeline with the components that are used, and nothing else. Raises BadModel."""
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    parts = {name: _component(origin, name, index.get(name), dtype) for name in _parts(cls.family)}
    left_out = {"safety_checker": None, "feature_extractor": None, "image_encoder": None}
    extra = {**left_out, "requires_safety_checker": False} if cls is StableDiffusion else {}
    try:
        with warnings.catch_warnings():
            # Stable Diffusion's pipeline corrects an old scheduler's config, and says so at length.
            warnings.simplefilter("ignore", FutureWarning)
            return diffusers.DiffusionPipeline.from_pretrained(
                origin.folder, dtype=dtype, local_files_only=True, **parts, **extra
            )
    except Exception as error:
        raise _broken(origin, "the pipeline", error) from error


def _component(origin: Origin, name: str, named: Any, dtype: torch.dtype) -> Any:
    library = {"diffusers": diffusers, "transformers": transformers}
    if not isinstance(named, list) or len(named) != 2 or named[0] not in library:
        raise BadModel(
            f"{origin.source}: model_index.json says {named!r} of {name}; a class of diffusers is needed."
        )
    cls = getattr(library[named[0]], str(named[1]), None)
    if cls is None:
        raise BadModel(f"{origin.source}: {named[0]} has no {named[1]}, which {name} is said to be.")
    if not weights(origin.folder / name):
        raise BadModel(
            f"{origin.source}: no weights in {name}/ (a .safetensors or .bin file is needed): "
            "copy or download the model again."
        )
    try:
        part, report = cls.from_pretrained(
            origin.folder / name, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # whatever the libraries raise, the file is what is wrong
        raise _broken(origin, name, error) from error
    if missing := report.get("missing_keys"):
        few = ", ".join(sorted(missing)[:3])
        raise BadModel(
            f"{origin.source}: {len(missing)} weights are missing in {name}/ ({few} …): "
            "copy or download the model again."
        )
    return part


def _broken(origin: Origin, name: str, error: Exception) -> BadModel:
    return BadModel(
        f"{origin.source}: {name} cannot be loaded; it is damaged or does not fit its config, so copy or "
        f"download the model again ({type(error).__name__}: {first_line(error)})."
    )


def _scheduler(own: Any) -> Any:
    """DDPM's scheduler with the noise levels of the pipeline's own. Raises BadModel, ValueError."""
    # A scheduler whose class knows no clipping (PNDM, Euler) did not clip; DDPM's default would.
    scheduler = diffusers.DDPMScheduler.from_config(
        own.config, clip_sample=own.config.get("clip_sample", False)
    )
    levels = getattr(own, "alphas_cumprod", None)
    if levels is None or not torch.equal(levels.cpu(), scheduler.alphas_cumprod):
        raise ValueError(f"the noise levels of its scheduler ({type(own).__name__}) are not those of a DDPM.")
    return scheduler


def _accelerated(net: torch.nn.Module, *, compiled: bool, graphs: bool) -> Callable[..., Any]:
    if compiled:
        return torch.compile(net, mode="reduce-overhead" if graphs else "default", dynamic=False)
    return torch.compile(net, backend="cudagraphs", dynamic=False) if graphs else net
