"""Which setting for a model, and is the second processor worth its cost? The steps of `manage.py tune`.

The spectrum of a reference is measured; the closed form predicts; pilots choose on few images of the model
itself; other seeds judge. What chooses and what reports never see the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from scipy import stats

from evalsite.asked import COUNTS, JUDGE_SEEDS, PILOT_SEEDS, REFERENCE_SEEDS, Asked, Offset, WrongReference
from evalsite.drawing import Draws, NotDrawn
from evalsite.measured import measured
from evalsite.tone import fit
from generation import tuning
from generation.conditions import Condition, PredictorNoise, Sampler
from generation.engine.forecast import ETA, RHO, Data, Forecast, predict
from generation.engine.spectrum import MOST_IMAGES, measure
from generation.engine.step import grid_of
from generation.scoring import attributes, registry
from generation.scoring.weights import Weights
from studies.statistics.scores import SIMILARITY, clustered_mean
from studies.statistics.sets import mmd2, mmd2_difference
from studies.wording import many

if TYPE_CHECKING:
    from generation.engine.families import Item, Model

EQUIVALENT = 0.25  # of the plain baseline's distance at the same N: a difference within it counts as none
MAP_RHO = 17  # values of ρ on the map of the closed form
SPACE_BATCH = 16


Part = TypeVar("Part")


@dataclass(frozen=True)
class Near:
    """The reference, as images are compared with it.

    features: (m, d). brightness: the mean of all pixels, 0 to 1. data: its spectrum, for the closed form.
    """

    features: np.ndarray
    brightness: float
    data: Data
    images: int

    def distance(self, features: np.ndarray) -> float:
        return mmd2(features, self.features)


class Tuner:
    """One run: the model with its images, what was asked for, and the weights of the features."""

    def __init__(
        self, gallery: Draws, asked: Asked, weights: Weights, said: Callable[[str], None] = print
    ) -> None:
        self.gallery = gallery
        self.model: Model = gallery.model
        self.asked = asked
        self.weights = weights
        self.said = said
        asked.check(self.model.T)

    def run(self, reference: Sequence[np.ndarray] | None = None) -> dict[str, Any]:
        """All findings as plain data. reference: images to be near to; None draws them with many steps.

        Raises WrongReference, and what the gallery raises: NotDrawn with all that can be drawn by now.
        """
        asked = self.asked
        if reference is None:
            if asked.reference_steps is None:
                raise WrongReference("no reference: give images or the steps to draw them with")
            self.said(f"The reference: {asked.references} images of {asked.reference_steps} steps")
            slow = Condition(sampler=Sampler.DDPM, steps=asked.reference_steps)
            reference = self.gallery.images(slow, asked.items(REFERENCE_SEEDS, asked.references))
        near = self._near(reference)
        spectrum = near.data.spectrum
        return {
            "model": {
                "source": self.model.source,
                "commit": self.model.commit,
                "family": self.model.family.value,
                "fingerprint": self.model.fingerprint,
            },
            "asked": asdict(asked),
            "equivalent": EQUIVALENT,
            "features": self.weights.open_clip().weights,
            "reference": {
                "images": near.images,
                "brightness": near.brightness,
                "variance": spectrum.variance,
                "shrinkage": spectrum.shrinkage,
                "numbers": int(spectrum.count.sum()),
            },
            "steps": _each(partial(self._at, near, steps) for steps in asked.steps),
        }

    def _near(self, images: Sequence[np.ndarray]) -> Near:
        if len(images) < (least := COUNTS["references"].least):
            raise WrongReference(f"{many(len(images), 'image')} as the reference; give {least:g} or more")
        if all(np.array_equal(image, images[0]) for image in images):
            raise WrongReference("all images of the reference are the same; give different ones")
        inner = self._space(images[:MOST_IMAGES])
        if inner.shape[1:] != torch.Size(self.model.shape):
            raise WrongReference(
                f"images of {_size(images[0])} become {tuple(inner.shape[1:])} where the model samples "
                f"{tuple(self.model.shape)}; give images of the size that it makes"
            )
        schedule, scheduler = self.model.schedule, self.model.scheduler
        data = Data(schedule, lambda steps: grid_of(scheduler, steps), measure(inner))
        return Near(self._features(images), _brightness(images), data, len(images))

    def _at(self, near: Near, steps: int) -> dict[str, Any]:
        """Prediction, pilots and judgement at one N."""
        self.said(f"N = {steps}: pilots of {self.asked.pilot} images")
        features: dict[Condition, np.ndarray] = {}
        offsets = self.asked.offsets_at(steps, self.model.T)
        pilots = self._pilots(near, steps, offsets, features)
        predicted = predict(near.data, steps, offsets)
        of_se2p = [p for p in pilots if p.start.sampler == Sampler.SE2P]
        best = min(of_se2p, key=lambda p: p.found.objective)
        scaled, scaled_double = (p for p in pilots if p.start.sampler == Sampler.DDPM)
        schedule = next(p.condition for p in predicted if isinstance(p.condition.noise_scale, tuple))
        tone = self._toned(steps, best.condition)
        self.said(f"N = {steps}: judging on {self.asked.judge} other images")
        judged = self._judged(near, tuning.arms(steps, best, scaled, scaled_double, [schedule, tone]))
        return {
            "steps": steps,
            "predicted": [_forecast(one) for one in predicted],
            "map": _map(near.data, steps, offsets, best.start),
            "pilots": [
                _pilot(one, near.data)
                | {"beside_chosen": self._beside(near, features, one, best if one in of_se2p else one)}
                for one in pilots
            ],
            "judged": judged,
            "rank_correlation": _rank_correlation(judged),
        }

    def _pilots(
        self, near: Near, steps: int, offsets: Sequence[Offset], features: dict[Condition, np.ndarray]
    ) -> list[tuning.Pilot]:
        """Every arm with a parameter of its own, each with the same budget on the same seeds.

        features: takes up those of each setting that is tried.
        """
        items = self.asked.items(PILOT_SEEDS, self.asked.pilot)

        def distance(condition: Condition) -> float:
            features[condition] = self._features(self.gallery.images(condition, items))
            return near.distance(features[condition])

        starts: list[tuple[str, Condition, str, tuple[float, float]]] = [
            (
                f"SE2P, {noise} noise, δ = {offset}",
                Condition(sampler=Sampler.SE2P, steps=steps, offset=offset, predictor_noise=noise),
                "rho",
                RHO,
            )
            for offset in offsets
            for noise in PredictorNoise
        ]
        for factor, name in ((1, "scaled baseline"), (2, "scaled baseline, 2N")):
            plain = Condition(sampler=Sampler.DDPM, steps=factor * steps)
            starts.append((name, plain, "noise_scale", ETA))
        coarse = [
            setting for _, start, name, bounds in starts for setting in tuning.coarse(start, name, bounds)
        ]
        self.gallery.prepare(coarse, items)
        return _each(partial(tuning.pilot, *start, distance, tries=self.asked.tries) for start in starts)

    def _beside(
        self, near: Near, features: Mapping[Condition, np.ndarray], pilot: tuning.Pilot, chosen: tuning.Pilot
    ) -> list[dict[str, Any]]:
        """How surely the pilots chose: each tried setting's distance minus the chosen one's."""
        group = _groups(self.asked.items(PILOT_SEEDS, self.asked.pilot))
        found = []
        for value, _ in pilot.found.tried:
            tried = features[tuning.at(pilot.start, pilot.parameter, value)]
            one = mmd2_difference(tried, features[chosen.condition], near.features, group)
            found.append({"difference": one.difference, "low": one.low, "high": one.high})
        return found

    def _toned(self, steps: int, best: Condition) -> Condition:
        """The baseline with a tone that makes its pilots look like those of SE2P at its best."""
        plain = Condition(sampler=Sampler.DDPM, steps=steps)
        items = self.asked.items(PILOT_SEEDS, self.asked.pilot)
        self.gallery.prepare([plain, best], items)
        return replace(plain, tone=fit(*(self.gallery.images(each, items) for each in (plain, best))))

    def _judged(self, near: Near, arms: Sequence[tuning.Arm]) -> list[dict[str, Any]]:
        """Each arm on the judges' seeds, and its difference to SE2P at its best, the first of them."""
        items = self.asked.items(JUDGE_SEEDS, self.asked.judge)
        self.gallery.prepare([arm.condition for arm in arms], items)
        features, brightness = {}, {}
        turned_out = {}

        @lru_cache(maxsize=1)  # most arms stand beside the same one
        def plain(steps: int) -> list[np.ndarray]:
            return self.gallery.images(Condition(sampler=Sampler.DDPM, steps=steps), items)

        for arm in arms:  # one after the other: the pictures of all would fill the memory
            drawn = self.gallery.images(arm.condition, items)
            features[arm.name], brightness[arm.name] = self._features(drawn), _brightness(drawn)
            turned_out[arm.name] = measured(
                zip(self._spaces(drawn), self._spaces(plain(arm.condition.steps)), strict=True),
                near.data.spectrum,
            )
        group = _groups(items)
        margin = EQUIVALENT * max(near.distance(features["baseline"]), 0.0)
        found = []
        for arm in arms:
            own = features[arm.name]
            difference = mmd2_difference(own, features[arms[0].name], near.features, group)
            alike = clustered_mean((own * features["baseline"]).mean(1), group).within(*SIMILARITY)
            found.append(
                {
                    "name": arm.name,
                    "words": arm.words,
                    "condition": arm.condition.to_json(),
                    "evaluations": arm.evaluations,
                    "sequential": arm.sequential,
                    "seconds": self.gallery.seconds(arm.condition, items),
                    "distance": difference.treatment,
                    "difference": difference.difference,
                    "low": difference.low,
                    "high": difference.high,
                    "verdict": None if arm is arms[0] else verdict(difference.low, difference.high, margin),
                    "similarity": {"mean": alike.mean, "low": alike.low, "high": alike.high},
                    "brightness": brightness[arm.name] - near.brightness,
                    "predicted": None
                    if arm.condition.sampler == Sampler.DIFFUSERS or arm.condition.tone
                    else _forecast(near.data.forecast(arm.condition)),
                    "measured": asdict(turned_out[arm.name]),
                }
            )
        return found

    def _features(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(n, d) with squared length d: the distance's kernel takes numbers of size 1."""
        found = registry.embeddings(images, device=str(self.model.device), weights=self.weights)
        return found * found.shape[1] ** 0.5

    def _space(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """(n, *shape) in the space that the sampler works in."""
        return torch.cat(list(self._spaces(images)))

    def _spaces(self, images: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """The same in batches."""
        for start in range(0, len(images), SPACE_BATCH):
            stacked = np.stack(images[start : start + SPACE_BATCH])
            levels = torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.inference_mode():
                batch = self.model.space(levels)
            yield batch


def _each(parts: Iterable[Callable[[], Part]]) -> list[Part]:
    """What all parts give. Raises NotDrawn with what any of them lacks, so that it is drawn together."""
    found, missing = [], []
    for part in parts:
        try:
            found.append(part())
        except NotDrawn as lacking:
            missing += lacking.wanted
    if missing:
        raise NotDrawn(missing)
    return found


def _groups(items: Sequence[Item]) -> list[Any]:
    """What the jackknife leaves out together.

    Prompts are a sample of prompts: the images of one. Labels are all there are: each image, by its seed.
    """
    prompts = [item.prompt for item in items]
    return prompts if len(set(prompts)) > 1 else [item.seed for item in items]


def verdict(low: float | None, high: float | None, margin: float) -> str:
    """How an arm does against SE2P, by the interval of its distance minus SE2P's: smaller is better."""
    if low is None or high is None:
        return "undecided"
    if -margin < low and high < margin:
        return "equivalent"
    if high < 0:
        return "better"
    return "worse" if low > 0 else "undecided"


def _rank_correlation(judged: Sequence[Mapping[str, Any]]) -> float:
    """Spearman's, of the predicted and the measured distances of the arms that the closed form knows."""
    both = [(arm["predicted"]["distance"], arm["distance"]) for arm in judged if arm["predicted"]]
    return float(stats.spearmanr(*zip(*both, strict=True)).statistic)


def _map(data: Data, steps: int, offsets: Sequence[Offset], se2p: Condition) -> dict[str, Any]:
    """The closed form's distance over ρ and the offset, with the noise of the best pilot."""
    values = [float(rho) for rho in np.linspace(*RHO, MAP_RHO)]
    rows = [
        [data.distance(replace(se2p, steps=steps, offset=offset, rho=rho)) for rho in values]
        for offset in offsets
    ]
    return {"rho": values, "offsets": list(offsets), "distance": rows}


def _forecast(forecast: Forecast) -> dict[str, Any]:
    return asdict(forecast) | {"condition": forecast.condition.to_json()}


def _pilot(pilot: tuning.Pilot, data: Data) -> dict[str, Any]:
    return {
        "name": pilot.name,
        "parameter": pilot.parameter,
        "value": pilot.found.value,
        "distance": pilot.found.objective,
        "at_bound": pilot.found.at_bound,
        "tried": [list(one) for one in pilot.found.tried],
        "condition": pilot.condition.to_json(),
        "predicted": data.distance(pilot.condition),
    }


def _brightness(images: Sequence[np.ndarray]) -> float:
    total = 0.0
    for start in range(0, len(images), SPACE_BATCH):  # all of them in float64 would fill the memory
        batch = np.stack(images[start : start + SPACE_BATCH])
        total += float(
            attributes.brightness(torch.from_numpy(batch).permute(0, 3, 1, 2).double() / 255).sum()
        )
    return total / len(images)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
