import json
import math

import pytest

from generation.conditions import (
    Condition,
    NotAllowed,
    Recipe,
    Sampler,
    check_for,
    check_seed,
    check_steps,
    evaluations,
    names,
    seeds,
    whole,
)


def test_defaults_are_the_papers():
    found = Condition(sampler="se2p", steps=20)

    assert (found.gamma, found.rho, found.offset, found.predictor_noise) == (0.015, 1.35, 1, "own")


@pytest.mark.parametrize(
    "parameter, value",
    [
        ("sampler", "euler"),
        ("sampler", None),
        ("gamma", None),
        ("scheduler", "FlowMatchEulerDiscreteScheduler"),
        ("steps", 0),
        ("steps", 2.5),
        ("steps", True),
        ("steps", 10**400),
        ("rho", 10**400),
        ("rho", 1e300),
        pytest.param("offset", 10**5000, id="offset-longer than Python prints"),
        ("processors", 65),
        ("gamma", -0.1),
        ("gamma", 1.1),
        ("gamma", math.nan),
        ("gamma", "much"),
        ("rho", -1),
        ("rho", math.inf),
        ("offset", -1),
        ("offset", "steps"),
        ("offset", 1.5),
        ("processors", 1),
        ("predictor_noise", "mine"),
        ("variance", "fixed_large_log"),
        ("spacing", "even"),
    ],
)
def test_a_value_that_no_sampler_takes_is_refused_by_name(parameter, value):
    with pytest.raises(NotAllowed) as caught:
        Condition(**{"sampler": "se2p", "steps": 20, parameter: value})

    assert caught.value.parameter == parameter
    assert str(caught.value).startswith(f"{parameter} = ")
    assert ": allowed is " in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_refusal_shows_the_value():
    with pytest.raises(NotAllowed, match=r"^rho = -1: allowed is a number from 0 to 1000$"):
        Condition(sampler="se2p", steps=20, rho=-1)


@pytest.mark.parametrize("text", ["", "1.5", "1e3", "９", "-1", "9" * 5000, "0x1", "1\x00"])
def test_text_that_is_no_such_whole_number_is_refused(text):
    with pytest.raises(NotAllowed, match=r"steps = .*: allowed is a whole number from 1"):
        whole("steps", text)


def test_an_offset_stays_within_the_training_timesteps():
    check_for(Condition(sampler="se2p", steps=20, offset=999), 1000)
    check_for(Condition(sampler="se2p", steps=20, offset="step"), 1000)
    with pytest.raises(NotAllowed, match="offset = 1000: allowed is less than 1000"):
        check_for(Condition(sampler="se2p", steps=20, offset=1000), 1000)


@pytest.mark.parametrize("scale", [-1, "auto", (), (1.0, -2.0), math.nan])
def test_a_noise_scale_is_a_number_a_list_or_se2p(scale):
    with pytest.raises(NotAllowed, match=r"noise_scale .* or `se2p`"):
        Recipe(sampler="ddpm", noise_scale=scale)


@pytest.mark.parametrize(
    "parameters, refused",
    [
        ({"sampler": "ddpm", "rho": 1}, "rho"),
        ({"sampler": "ddim", "variance": "fixed_large"}, "variance"),
        ({"sampler": "naive", "processors": 3}, "processors"),
        ({"sampler": "se2p", "noise_scale": 1.2}, "noise_scale"),
        ({"sampler": "se2p", "noise_scale": "se2p"}, "noise_scale"),
        ({"sampler": "se2p", "scheduler": "DDIMScheduler"}, "scheduler"),
        ({"sampler": "se2p", "tone": (1, 0, 0)}, "tone"),
        ({"sampler": "ddpm", "tone": (1, 0)}, "tone"),
        ({"sampler": "ddpm", "tone": (1, 2, 0)}, "tone"),
        ({"sampler": "ddpm", "tone": (1, 0, float("nan"))}, "tone"),
        ({"sampler": "diffusers"}, "scheduler"),
        ({"sampler": "diffusers", "scheduler": "os.system"}, "scheduler"),
    ],
)
def test_a_parameter_that_the_sampler_does_not_take_is_refused(parameters, refused):
    with pytest.raises(NotAllowed) as caught:
        Recipe(**parameters)

    assert caught.value.parameter == refused


def test_ddpm_with_the_noise_of_se2p_takes_the_parameters_of_se2p():
    assert Recipe(sampler="ddpm", noise_scale="se2p", rho=2, offset="step").rho == 2.0


def test_a_list_of_noise_scales_has_one_for_each_step():
    recipe = Recipe(sampler="ddpm", noise_scale=[1, 1.1])

    assert recipe.at(2).noise_scale == (1.0, 1.1)
    with pytest.raises(NotAllowed, match="a list of 3, one a step"):
        recipe.at(3)


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_reach_from_one_to_the_training_timesteps(steps):
    check_steps(1, 1000)
    check_steps(1000, 1000)
    with pytest.raises(NotAllowed, match=f"steps = {steps}: allowed is a whole number from 1 to 1000"):
        check_steps(steps, 1000)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.0])
def test_a_seed_out_of_range_is_refused(seed):
    check_seed(2**31 - 1)
    with pytest.raises(NotAllowed, match=r"seed = .* from 0 to 2147483647"):
        check_seed(seed)


def test_seeds_are_read_as_ranges_without_their_end():
    assert seeds("0:3, 7,2:5") == [0, 1, 2, 7, 3, 4]


@pytest.mark.parametrize("text", ["", "3:3", "4:2", "-1", "a", "0:2147483649", "0:2147483648", "1:2:3", "²"])
def test_seeds_that_cannot_be_read_are_refused(text):
    with pytest.raises(NotAllowed, match="seed"):
        seeds(text)


@pytest.mark.parametrize(
    "condition",
    [
        Condition(sampler="ddpm", steps=20),
        Condition(sampler="se2p", steps=5, gamma=0.5, rho=2, offset="step", predictor_noise="shared"),
        Condition(
            sampler="ddpm", steps=2, noise_scale=(1.0, 1.5), variance="fixed_large", spacing="trailing"
        ),
        Condition(sampler="diffusers", steps=9, scheduler="DDIMScheduler"),
        Condition(sampler="ddpm", steps=9, tone=(1, 0.1, -0.5)),
        Recipe(sampler="ddpm", steps_factor=2),
    ],
)
def test_a_condition_survives_json(condition):
    text = json.dumps(condition.to_json())

    again = type(condition).from_json(json.loads(text))

    assert again == condition
    assert json.dumps(again.to_json()) == text


def test_json_holds_all_that_the_sampler_reads_and_nothing_else():
    assert Recipe(sampler="se2p", gamma=0).to_json() == {
        "sampler": "se2p",
        "gamma": 0.0,
        "rho": 1.35,
        "offset": 1,
        "predictor_noise": "own",
        "processors": 2,
        "variance": "fixed_small",
        "spacing": None,
        "steps_factor": 1,
    }
    assert "tone" not in Condition(sampler="ddpm", steps=20).to_json()  # as before there were any
    assert Condition(sampler="ddim", steps=20).to_json() == {"sampler": "ddim", "spacing": None, "steps": 20}


@pytest.mark.parametrize(
    "found", [{"steps": 2}, {"sampler": "ddpm"}, {"sampler": "ddpm", "steps": 2, "eta": 1}]
)
def test_json_with_an_unknown_or_a_missing_key_is_refused(found):
    with pytest.raises(NotAllowed):
        Condition.from_json(found)


def test_a_recipe_takes_a_multiple_of_the_experiments_steps():
    assert Recipe(sampler="ddpm", steps_factor=2).at(20) == Condition(sampler="ddpm", steps=40)


@pytest.mark.parametrize(
    "parameters, count",
    [
        ({"sampler": "ddpm"}, 10),
        ({"sampler": "se2p"}, 20),
        ({"sampler": "se2p", "gamma": 0}, 10),
        ({"sampler": "se2p", "gamma": 1}, 10),
        ({"sampler": "se2p", "processors": 4}, 40),
        ({"sampler": "naive", "gamma": 0.5}, 20),
        ({"sampler": "ddim"}, 10),
        ({"sampler": "diffusers", "scheduler": "HeunDiscreteScheduler"}, 19),
        ({"sampler": "diffusers", "scheduler": "PNDMScheduler"}, 11),
    ],
)
def test_evaluations_count_what_an_image_costs(parameters, count):
    assert evaluations(Condition(steps=10, **parameters)) == count


def recipe(sampler, **parameters):
    return Recipe(sampler=sampler, **parameters)


@pytest.mark.parametrize(
    "recipes, expected",
    [
        ([recipe("ddpm"), recipe("se2p")], ["baseline", "se2p"]),
        ([recipe("se2p"), recipe("ddpm", steps_factor=2)], ["se2p", "ddpm-2n"]),
        ([recipe("ddpm"), recipe("ddpm", steps_factor=2)], ["baseline", "ddpm-2n"]),
        (
            [recipe("ddpm"), recipe("se2p"), recipe("se2p", rho=1), recipe("se2p", rho=1, gamma=0)],
            ["baseline", "se2p", "se2p-rho1", "se2p-gamma0-rho1"],
        ),
        (
            [recipe("se2p", gamma=0.5, offset="step"), recipe("se2p", gamma=0.5, predictor_noise="shared")],
            ["se2p-offset-step", "se2p-shared"],
        ),
        (
            [
                recipe("ddpm", noise_scale="se2p"),
                recipe("ddpm", variance="fixed_large"),
                recipe("ddpm", steps_factor=2),
                recipe("ddpm"),
                recipe("ddpm", noise_scale=1.05),
            ],
            ["ddpm-noise-se2p", "ddpm-fixed-large", "ddpm-2n", "baseline", "ddpm-noise1.05"],
        ),
        (
            [
                recipe("diffusers", scheduler="DPMSolverMultistepScheduler"),
                recipe("diffusers", scheduler="EulerAncestralDiscreteScheduler", steps_factor=2),
            ],
            ["diffusers-dpm-solver-multistep", "diffusers-euler-ancestral-discrete-2n"],
        ),
        ([recipe("ddpm", spacing="trailing"), recipe("ddpm")], ["baseline", "ddpm"]),
    ],
)
def test_a_side_is_named_after_its_sampler_and_what_differs(recipes, expected):
    assert names(recipes) == expected


def test_conditions_with_absolute_steps_are_named_by_their_share_of_the_experiments():
    found = names([Condition(sampler="ddpm", steps=n) for n in (20, 40, 30)])

    assert found == ["baseline", "ddpm-2n", "ddpm-30steps"]


@pytest.mark.parametrize("sampler", ["ddpm", "se2p"])
def test_the_same_condition_twice_is_refused(sampler):
    with pytest.raises(NotAllowed, match="each condition once"):
        names([recipe(sampler), recipe(sampler)])


def test_names_are_unique_for_every_pair_of_different_recipes():
    recipes = [recipe(s) for s in ("ddpm", "se2p", "naive", "ddim")]
    recipes += [recipe("se2p", rho=r, gamma=g) for r in (0.5, 1) for g in (0, 0.1)]
    recipes += [recipe("ddpm", noise_scale=(1.0, x)) for x in (1.5, 2.0)]

    assert len(set(names(recipes))) == len(recipes)
    assert all(isinstance(r.sampler, Sampler) for r in recipes)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_recipe_is_found_again_from_its_condition(factor):
    recipe = Recipe(sampler="ddpm", noise_scale=1.2, tone=(1, 0.1, 0), steps_factor=factor)

    assert recipe.at(20).recipe(20) == recipe
