from itertools import pairwise

import pytest

from generation import planning
from generation.conditions import NotAllowed, Recipe, Sampler
from generation.models import Chunk, Experiment, ImageModel, Item
from tests.generation.factories import experiment, flower_model, plan

pytestmark = pytest.mark.django_db


def test_it_works():
    made = experiment(steps=[10, 20])

    assert [c.name for c in made.conditions.all()] == ["baseline", "se2p"]
    assert [(i.seed, i.label) for i in made.items.all()] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert list(made.chunks.values_list("steps", "first", "last")) == [(10, 0, 5), (20, 0, 5)]


def test_the_plan_counts_what_will_be_made():
    asked = plan(steps=[10, 20], recipes=[planning.BASELINE, Recipe(sampler="se2p"), Recipe(sampler="ddim")])

    assert (asked.items, asked.images, asked.pairs) == (6, 36, 24)
    assert asked.evaluations(20) == 20 + 40 + 20


def test_chunks_hold_every_item_once_and_differ_by_one_at_most():
    made = experiment(seeds=range(50))

    ranges = list(made.chunks.values_list("first", "last"))
    sizes = [last - first + 1 for first, last in ranges]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 99
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ranges))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= planning.FIRST_CHUNK


def test_each_model_has_chunks_of_its_own():
    other = ImageModel.objects.create(name="faces", source="org/faces", takes="nothing")
    faces = planning.crossed(other, [planning.Subject()], range(10))
    made = planning.make(plan(parts=[*plan().parts, faces]))

    assert list(made.chunks.order_by("first").values_list("model__name", "first", "last")) == [
        ("flowers", 0, 5),
        ("faces", 6, 10),
        ("faces", 11, 15),
    ]
    assert [i.model.name for i in made.items.order_by("position")] == ["flowers"] * 6 + ["faces"] * 10


def test_a_measured_rate_sets_the_size_of_a_chunk(settings):
    settings.CHUNK_SECONDS = 30
    first = experiment()
    # 6 items × (20 + 40) evaluations in 3 seconds: 120 evaluations a second
    first.chunks.update(seconds=3, manifest={"evaluations": [20, 40]}, stage=Chunk.Stage.DONE)

    assert planning.measured_rate(flower_model()) == 120
    assert planning.chunk_size(plan(), flower_model(), 20) == 60
    assert planning.chunk_size(plan(), flower_model(), 1000) == 1


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"subjects": []}, "subjects"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [2**31]}, "seed"),
        ({"steps": []}, "steps"),
        ({"steps": [0]}, "steps"),
        ({"steps": [20, 20]}, "steps"),
        ({"recipes": [planning.BASELINE]}, "conditions"),
        ({"recipes": [planning.BASELINE, planning.BASELINE]}, "conditions"),
        ({"seeds": range(10_000_000)}, "pairs"),
        ({"steps": [*range(1, 1000)], "seeds": range(1000)}, "pairs"),
        ({"parts": []}, "items"),
        ({"guidance": -1.0}, "guidance"),
        ({"guidance": 7.5}, "guidance"),  # a DDPM has none
        ({"steps": [1001]}, "steps"),
        ({"steps": [600], "recipes": [planning.BASELINE, Recipe(sampler="ddpm", steps_factor=2)]}, "steps"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_parameter(changes, parameter):
    with pytest.raises(NotAllowed) as refused:
        plan(**changes)

    assert refused.value.parameter == parameter
    assert not Experiment.objects.exists()


def test_an_experiment_is_made_whole_or_not_at_all():
    twice = plan(subjects=[planning.Subject(label=0), planning.Subject(label=0)])

    with pytest.raises(Exception, match="item_once"):
        planning.make(twice)

    assert not Experiment.objects.exists()
    assert not Item.objects.exists()


def test_recipes_come_back_as_they_were_given():
    recipes = [planning.BASELINE, Recipe(sampler=Sampler.SE2P, rho=0.5, offset="step")]

    assert planning.recipes_of(experiment(recipes=recipes)) == [
        ("baseline", recipes[0]),
        ("se2p", recipes[1]),
    ]


def test_the_same_images_are_found_whatever_the_experiments_name():
    made = planning.make(plan())

    assert planning.already_made(plan(name="another name")) == made


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": range(4)},
        {"seeds": range(1, 4)},
        {"subjects": [planning.Subject(label=0)]},
        {"steps": [10]},
        {"recipes": [planning.BASELINE, Recipe(sampler=Sampler.SE2P, rho=0.5)]},
    ],
)
def test_other_images_are_not_made_already(changes):
    planning.make(plan())

    assert planning.already_made(plan(**changes)) is None
