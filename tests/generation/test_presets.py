from collections import Counter
from dataclasses import replace

import pytest

from generation import costs, planning, presets
from generation.conditions import NotAllowed
from generation.models import Chunk, Experiment, ImageModel
from generation.storage import keep
from tests.generation.factories import experiment, flower_model

pytestmark = pytest.mark.django_db


def model(takes, labels=0):
    return ImageModel.objects.create(
        name=f"{takes} {labels}",
        source="org/name",
        takes=takes,
        labels={str(n): f"class {n}" for n in range(labels)},
    )


def test_it_works():
    plan = presets.plan(presets.find("controls"), flower_model(), items=10)
    made = planning.make(plan)

    assert [c.name for c in made.conditions.order_by("position")] == [
        "baseline",
        "se2p",
        "ddpm-noise-se2p",
        "se2p-gamma0",
        "ddpm-fixed-large",
        "ddim",
        "ddpm-2n",
    ]
    assert (plan.items, plan.pairs) == (10, 60)


@pytest.mark.parametrize(
    ("name", "steps", "treatments"),
    [
        ("paper", 4, 1),
        ("rho-steps", 6, 4),
        ("gamma", 1, 7),
        ("noise", 1, 2),
        ("ablation", 1, 7),
        ("offset", 1, 7),
        ("controls", 1, 6),
    ],
)
def test_each_preset_can_be_planned(name, steps, treatments):
    found = presets.plan(presets.find(name))

    models = 4 if name == "paper" else 1
    assert (len(found.steps), len(found.recipes) - 1) == (steps, treatments)
    assert found.items == 100 * models
    assert found.pairs == found.items * steps * treatments


def test_the_paper_brings_its_four_models():
    first, second = (presets.plan(presets.find("paper")) for _ in range(2))

    assert [part.model.source for part in first.parts] == [
        "google/ddpm-celebahq-256",
        "CompVis/ldm-celebahq-256",
        "facebook/DiT-XL-2-256",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ]
    assert [part.model.pk for part in first.parts] == [part.model.pk for part in second.parts]
    with pytest.raises(NotAllowed, match="brings its four models"):
        presets.plan(presets.find("paper"), flower_model())


def test_classes_are_drawn_equally_often():
    found = presets.draws(model("labels", 5), 12)

    assert sorted(Counter(draw.subject.label for draw in found).values()) == [2, 2, 2, 3, 3]
    assert len(set(found)) == 12


def test_of_many_classes_those_drawn_lie_evenly():
    found = presets.draws(model("labels", 1000), 100)

    assert [draw.subject.label for draw in found] == list(range(0, 1000, 10))


def test_every_item_has_a_seed_of_its_own():
    draws = presets.draws(model("labels", 5), 12)

    assert [draw.seed for draw in draws] == list(range(12))
    assert [draw.subject.label for draw in draws] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_an_unconditional_model_draws_seeds():
    assert [draw.seed for draw in presets.draws(model("nothing"), 4)] == [0, 1, 2, 3]


def test_prompts_are_those_given_else_the_bundled_ones():
    painter = model("prompts")

    assert len({draw.subject.prompt for draw in presets.draws(painter, 50)}) == 25
    assert {draw.subject.prompt for draw in presets.draws(painter, 4, ["a cat"])} == {"a cat"}
    with pytest.raises(NotAllowed, match="prompts = a cat"):
        presets.draws(flower_model(), 4, ["a cat"])


@pytest.mark.parametrize("items", [0, -1, 200_000, 10**30])
def test_a_senseless_number_of_items_is_refused(items):
    with pytest.raises(NotAllowed, match="items = "):
        presets.plan(presets.find("gamma"), items=items)


def test_more_pairs_than_an_experiment_holds_are_refused():
    with pytest.raises(NotAllowed, match="pairs = 2,400,000"):
        presets.plan(presets.find("rho-steps"), items=100_000)


def test_a_name_that_is_taken_gets_a_number():
    first = planning.make(presets.plan(presets.find("noise"), flower_model(), items=1))
    second = presets.plan(presets.find("noise"), flower_model(), items=1)

    assert (first.name, second.name) == ("noise, flowers", "noise, flowers 2")


def test_the_cost_is_known_once_images_were_made():
    plan = presets.plan(presets.find("noise"), flower_model(), items=60)
    assert str(costs.of(plan)) == (
        "180 images in 120 pairs; disk and time are known once every model has made its first images"
    )
    done = experiment()
    chunk = done.chunks.get()
    # 6 items × (20 + 40) evaluations in 3 seconds: 120 a second.
    Chunk.objects.update(seconds=3, manifest={"evaluations": [20, 40]}, stage=Chunk.Stage.DONE)
    chunk.images.create(
        item=done.items.first(),
        condition=done.conditions.first(),
        steps=20,
        sha256=keep(b"x" * 2048),
        width=32,
        height=32,
    )

    found = costs.of(plan)

    assert found.size == 180 * 2048
    assert found.seconds == 60 * (20 + 40 + 40) / 120
    assert "about 360.0 KB; about 1 minute on one worker" in str(found)
    assert Experiment.objects.count() == 1


def test_an_experiment_of_a_preset_names_the_command_that_plans_it_anew():
    made = planning.make(presets.plan(presets.find("gamma"), flower_model(), items=7, name="mine"))

    assert presets.command(made) == "python manage.py experiment gamma --model starter/flowers --items 7"


def test_an_experiment_of_other_steps_or_seeds_is_no_presets():
    gamma = presets.plan(presets.find("gamma"), flower_model(), items=7, name="mine")
    other_steps = planning.make(replace(gamma, steps=[10], name="steps"))
    draws = [planning.Draw(planning.Subject(label=0), seed=9)]
    other_seeds = planning.make(replace(gamma, parts=[planning.Part(flower_model(), draws)], name="seeds"))

    assert presets.command(other_steps) is None
    assert presets.command(other_seeds) is None
