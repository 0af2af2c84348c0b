"""A model's files: which of them are used, their hashes, and how they come from a hub.

Diffusers' own download gives back half a cache in silence where the hub fails in between, and fetches pickles
and variants too; so files are chosen here, by component.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from generation.sources import BadModel, Family, family_of, read_json

_WEIGHTS = re.compile(r"(diffusion_pytorch_model|pytorch_model|model)(-\d+-of-\d+)?\.(safetensors|bin)")


class HubUnreachable(ConnectionError):
    """The hub could not be asked; it may pass."""


def fetch(hub_id: str, revision: str, parts_of: Callable[[Family], Sequence[str]]) -> tuple[Path, str]:
    """The hub model's folder in the local cache, and its commit; only what is used is fetched.

    Raises BadModel, HubUnreachable.
    """
    huggingface_hub.utils.logging.set_verbosity_error()  # the error is told once, by us
    try:
        index = Path(hf_hub_download(hub_id, "model_index.json", revision=revision or None))
        folder, commit = index.parent, index.parent.name
        parts = parts_of(family_of(read_json(index), hub_id))  # before gigabytes are fetched
        texts = ["labels.json", "scheduler/*", "tokenizer/*", *(f"{name}/*.json" for name in parts)]
        _snapshot(hub_id, commit, texts + _weight_patterns(parts, "safetensors"))
        if bare := [name for name in parts if not weights(folder / name)]:
            _snapshot(hub_id, commit, _weight_patterns(bare, "bin"))
        if bare := [name for name in parts if not weights(folder / name)]:
            # From half a cache and no hub a snapshot comes back as it is; this says which it was.
            hf_hub_download(hub_id, f"{bare[0]}/diffusion_pytorch_model.safetensors", revision=commit)
    except (LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise _unreachable(hub_id) from error
    except GatedRepoError as error:
        raise BadModel(
            f"{hub_id}: its owner grants access by request; ask there and set HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise BadModel(f"{hub_id}: the hub has no revision {revision!r} of it.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadModel(f"{hub_id}: the hub has no such model (a private one needs HF_TOKEN).") from error
    except EntryNotFoundError as error:
        raise BadModel(
            f"{hub_id}: lacks model_index.json or weights, so it is no pipeline of diffusers."
        ) from error
    except OSError as error:
        raise _unreachable(hub_id, first_line(error)) from error
    return folder, commit


def _snapshot(hub_id: str, commit: str, patterns: list[str]) -> None:
    huggingface_hub.snapshot_download(hub_id, revision=commit, allow_patterns=patterns)


def _weight_patterns(parts: Sequence[str], kind: str) -> list[str]:
    """Whole and sharded weight files, but no variants (fp16, non_ema), which have a dot more."""
    stems = ("diffusion_pytorch_model", "model", "pytorch_model")
    return [f"{part}/{stem}{tail}.{kind}" for part in parts for stem in stems for tail in ("", "-*-of-*")]


def _unreachable(hub_id: str, why: str = "no answer, and it is not in the local cache") -> HubUnreachable:
    return HubUnreachable(
        f"{hub_id}: the hub cannot be reached ({why}). Name a local folder instead, or set HF_HOME to a cache"
        " that holds the model."
    )


def hashes(folder: Path, components: Sequence[str]) -> dict[str, str]:
    """SHA-256 of model_index.json and of the components' files that are used, by their path in the folder."""
    files = [
        folder / "model_index.json",
        *(file for name in components for file in _used_files(folder / name)),
    ]
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")


def _used_files(folder: Path) -> list[Path]:
    """Configs and weights of a component."""
    texts = [file for file in folder.glob("*") if file.suffix in (".json", ".txt")]
    return sorted(weights(folder) + texts)


def weights(folder: Path) -> list[Path]:
    """A component's weight files: .bin only where there is no .safetensors, and no variants."""
    found = [file for file in folder.glob("*") if _WEIGHTS.fullmatch(file.name)]
    safe = [file for file in found if file.suffix == ".safetensors"]
    return safe or found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
