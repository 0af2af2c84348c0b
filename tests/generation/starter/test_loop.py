from pathlib import Path
from typing import Any

import pytest
import torch

from generation.starter import loop


class FakeTrainee:
    """Counts its steps; may break at one of them."""

    batch = 3
    kind = "a counter"

    def __init__(self, breaks_at: int | None = None) -> None:
        self.count = 0
        self.breaks_at = breaks_at

    def step(self, rate: float) -> float:
        if self.count == self.breaks_at:
            raise KeyboardInterrupt
        self.count += 1
        return 1 / self.count

    def check(self) -> float:
        return 0.5

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def quiet(line: str) -> None:
    pass


def test_a_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        loop.train(FakeTrainee(breaks_at=7), loop.Progress(), 1, checkpoint, quiet, checkpoint_seconds=0)

    trainee = FakeTrainee()
    progress = loop.load(checkpoint, trainee)

    assert (trainee.count, progress.steps, progress.images) == (7, 7, 21)
    assert [row.images for row in progress.course] == [3, 6, 9, 12, 15, 18, 21]
    before = progress.seconds
    loop.train(trainee, progress, (before + 0.05) / 60, checkpoint, quiet)
    assert progress.steps == trainee.count > 7
    assert progress.seconds > before


def test_time_before_an_interruption_counts(tmp_path: Path) -> None:
    trainee, progress = FakeTrainee(), loop.Progress(steps=5, seconds=60)

    loop.train(trainee, progress, 1, tmp_path / "c.pt", quiet)

    assert (trainee.count, progress.steps) == (0, 5)


def test_a_kill_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.pt"
    trainee = FakeTrainee()
    trainee.count = 4
    loop.save(path, trainee, loop.Progress(steps=4))

    def half(stored: object, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        loop.save(path, trainee, loop.Progress(steps=5))

    assert loop.load(path, FakeTrainee()).steps == 4


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    loop.save(path, FakeTrainee(), loop.Progress())
    other = FakeTrainee()
    other.kind = "a clock"

    with pytest.raises(loop.Mismatch, match="belongs to a counter, not to a clock"):
        loop.load(path, other)


def test_the_rate_warms_up_stays_and_falls_to_two_percent() -> None:
    assert loop.rate(0, 0) == pytest.approx(1 / loop.WARM_UP)
    assert loop.rate(loop.WARM_UP, 0.1) == loop.rate(10**6, 0.5) == pytest.approx(1)
    assert loop.rate(10**6, 0.75) == pytest.approx(0.51)
    assert loop.rate(10**6, 1) == pytest.approx(0.02)
