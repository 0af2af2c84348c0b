import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from generation.engine.families import Model, load

from . import pipelines


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a small pipeline, built once for each set of arguments."""
    made: dict[Any, Path] = {}

    def find(build: Callable[..., Path], **arguments: Any) -> Path:
        key = (build, *sorted(arguments.items()))
        if key not in made:
            made[key] = build(tmp_path_factory.mktemp(build.__name__), **arguments)
        return made[key]

    return find


@pytest.fixture(scope="session")
def loaded(folder: Callable[..., Path]) -> Callable[..., Model]:
    """The loaded model of a small pipeline: loaded once, each caller with a copy to change as they like."""
    found: dict[Path, Model] = {}

    def find(build: Callable[..., Path], **arguments: Any) -> Model:
        where = folder(build, **arguments)
        if where not in found:
            found[where] = load(str(where))
        return copy.copy(found[where])

    return find


@pytest.fixture
def flowers(loaded: Callable[..., Model]) -> Model:
    """A class-conditional DDPM of random weights."""
    return loaded(pipelines.ddpm, classes=True)


@pytest.fixture
def plain(loaded: Callable[..., Model]) -> Model:
    """A DDPM of random weights that takes nothing but a seed."""
    return loaded(pipelines.ddpm)
