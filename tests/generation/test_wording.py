import pytest

from generation import planning, wording
from generation.models import ImageModel
from tests.generation.factories import experiment, flower_model, plan

pytestmark = pytest.mark.django_db


def test_it_works():
    assert wording.items(experiment()) == "6 of flowers (2 labels); seeds 0 to 2"


def test_one_of_a_kind_is_not_counted():
    assert (
        wording.items(experiment(subjects=[planning.Subject(label=1)], seeds=[7])) == "1 of flowers; seed 7"
    )


def test_each_model_is_named():
    flower_model()
    faces = ImageModel.objects.create(name="faces", source="org/faces", takes="nothing")
    parts = [*plan().parts, planning.crossed(faces, [planning.Subject()], range(10))]

    assert wording.items(planning.make(plan(parts=parts))) == "16 of flowers (2 labels), faces; seeds 0 to 9"


def test_a_recipe_leaves_out_what_the_model_decides():
    assert (
        wording.recipe({"sampler": "ddpm", "noise_scale": 1.0, "spacing": None})
        == "sampler ddpm, noise_scale 1.0"
    )
