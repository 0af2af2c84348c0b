import json
import shutil

import diffusers
import numpy as np
import pytest
import torch

from generation.conditions import Condition, NotAllowed
from generation.engine.driver import Item, generate
from generation.engine.families import Guidance, load
from generation.engine.noise import Streams
from generation.sources import BadModel, Family

from . import pipelines

SEEDS = (3, 2**31 - 1)


def pipeline(folder, **scheduler):
    found = diffusers.DiffusionPipeline.from_pretrained(folder)
    found.scheduler = diffusers.DDPMScheduler.from_config(found.scheduler.config, **scheduler)
    found.set_progress_bar_config(disable=True)
    return found


def generators():
    return [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]


def baseline(model, steps=5, spacing=None, items=None, **options):
    """(B, H, W, 3) in 0 … 1, as a pipeline gives it."""
    items = items or [Item(seed) for seed in SEEDS]
    conditions = [Condition(sampler="ddpm", steps=steps, spacing=spacing)]
    result = generate(model, items, conditions, raw=True, **options)
    return np.stack([row[0].transpose(1, 2, 0) / 2 + 0.5 for row in result.raw]).clip(0, 1)


@pytest.fixture
def same_noise(monkeypatch):
    """Feeds a pipeline that draws from the global generator the noise of the images' own streams."""

    def feed(shape):
        streams = Streams(SEEDS, shape)
        k = -1

        def drawn(size, **_):
            nonlocal k
            k += 1
            return streams.z(k).repeat(size[0] // len(SEEDS), 1, 1, 1)  # guidance steps both halves

        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", drawn)

    return feed


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_the_baseline_of_a_ddpm_is_the_pipelines_image(loaded, spacing, offset, prediction):
    model = loaded(pipelines.ddpm, steps_offset=offset, prediction_type=prediction)
    theirs = pipeline(model.origin.folder, timestep_spacing=spacing)(
        2, generators(), 5, output_type="np"
    ).images

    assert np.abs(baseline(model, spacing=spacing) - theirs).max() <= 1e-5


def test_the_baseline_of_a_class_conditional_ddpm_is_the_schedulers_own_loop(loaded):
    model = loaded(pipelines.ddpm, classes=True)
    pipe = pipeline(model.origin.folder)
    draws = generators()
    x = diffusers.utils.torch_utils.randn_tensor((2, 3, 8, 8), draws)
    pipe.scheduler.set_timesteps(5)
    with torch.no_grad():
        for t in pipe.scheduler.timesteps:
            output = pipe.unet(x, t, class_labels=torch.tensor([2, 0])).sample
            x = pipe.scheduler.step(output, t, x, generator=draws).prev_sample
    theirs = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()

    ours = baseline(model, items=[Item(SEEDS[0], label=2), Item(SEEDS[1], label=0)])

    assert np.abs(ours - theirs).max() <= 1e-5


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_the_baseline_of_a_latent_diffusion_model_is_the_pipelines_image(loaded, same_noise, spacing):
    model = loaded(pipelines.ldm)
    same_noise((3, 8, 8))
    pipe = pipeline(model.origin.folder, timestep_spacing=spacing)
    theirs = pipe(2, generators(), num_inference_steps=5, output_type="np").images

    assert np.abs(baseline(model, spacing=spacing) - theirs).max() <= 1e-5


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_baseline_of_a_dit_is_the_pipelines_image(loaded, same_noise, guidance):
    model = loaded(pipelines.dit)
    same_noise((4, 8, 8))
    pipe = pipeline(model.origin.folder)
    theirs = pipe(
        [207, 1], guidance_scale=guidance, generator=generators(), num_inference_steps=5, output_type="np"
    ).images

    ours = baseline(model, items=[Item(SEEDS[0], label=207), Item(SEEDS[1], label=1)], guidance=guidance)

    assert np.abs(ours - theirs).max() <= 1e-5


def test_a_dit_can_guide_three_channels_as_its_own_code_does(loaded):
    model = loaded(pipelines.dit)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([500.0])

    def said(scale, channels=None):
        context = model.encode([Item(0, label=7)], Guidance(scale, channels))
        with torch.no_grad():
            return model.predict(x, t, context)

    three, all_of_them, none = said(4.0, 3), said(4.0), said(1.0)

    torch.testing.assert_close(three[:, :3], all_of_them[:, :3])
    torch.testing.assert_close(three[:, 3:], none[:, 3:])
    assert not torch.allclose(all_of_them, none)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
@pytest.mark.parametrize("prompt", ["", "a red rose in the rain"])
def test_the_baseline_of_stable_diffusion_is_the_pipelines_image(
    folder, loaded, prompt, guidance, prediction
):
    model = loaded(pipelines.stable_diffusion, prediction_type=prediction)
    pipe = pipeline(model.origin.folder)
    theirs = pipe(
        [prompt] * 2,
        negative_prompt=["blurred"] * 2,
        guidance_scale=guidance,
        generator=generators(),
        num_inference_steps=5,
        output_type="np",
    ).images

    items = [Item(seed, prompt=prompt, negative_prompt="blurred") for seed in SEEDS]

    assert np.abs(baseline(model, items=items, guidance=guidance) - theirs).max() <= 1e-5


def test_stable_diffusion_takes_the_corrected_scheduler_of_its_pipeline(folder):
    model = load(str(folder(pipelines.stable_diffusion, steps_offset=0, clip_sample=True)))

    assert (model.scheduler.config.steps_offset, model.scheduler.config.clip_sample) == (1, False)


def test_a_scheduler_that_knows_no_clipping_is_not_made_to_clip(folder, tmp_path):
    where = shutil.copytree(folder(pipelines.ldm), tmp_path / "ldm")
    diffusers.PNDMScheduler().save_pretrained(where / "scheduler")
    rename(where, "scheduler", "PNDMScheduler")

    assert load(str(where)).schedule.bound is None


def rename(where, part, cls, library="diffusers"):
    path = where / "model_index.json"
    index = json.loads(path.read_text())
    index[part] = [library, cls]
    path.write_text(json.dumps(index))


def test_a_prompt_longer_than_the_encoder_takes_is_warned_of_and_recorded(loaded):
    model = loaded(pipelines.stable_diffusion)
    prompt = "a rose " * 8 + "in the rain"

    result = generate(model, [Item(0, prompt=prompt)], [Condition(sampler="ddpm", steps=1)])

    assert len(result.warnings) == 1
    assert "takes 12 tokens of its 22; left out is" in result.warnings[0]
    assert "in the rain" in result.warnings[0]
    assert result.manifest["warnings"] == result.warnings


@pytest.mark.parametrize(
    ("build", "coder"),
    [(pipelines.ldm, "vqvae"), (pipelines.dit, "vae"), (pipelines.stable_diffusion, "vae")],
)
def test_images_are_encoded_as_the_autoencoder_does_it(loaded, build, coder):
    model = loaded(build)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    own = getattr(model, coder)
    with torch.inference_mode():
        found = model.space(images)
        said = own.encode(images)

    latents = said.latents if coder == "vqvae" else said.latent_dist.mode()
    assert torch.allclose(found, latents * own.config.scaling_factor)
    assert found.shape[1] == model.shape[0]


def test_images_of_a_pixel_model_are_what_it_samples(plain, loaded):
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    grey = loaded(pipelines.ddpm, channels=1)

    assert torch.equal(plain.space(images), images)
    assert torch.allclose(grey.space(images)[:, 0], images.mean(1))


def test_a_grey_image_becomes_rgb(loaded):
    model = loaded(pipelines.ddpm, channels=1)

    image = generate(model, [Item(0)], [Condition(sampler="ddpm", steps=1)]).images[0][0]

    assert image.shape == (8, 8, 3)
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_computes_in_the_dtype_asked_for_while_its_samplers_stay_in_float32(folder, dtype):
    where = str(folder(pipelines.ddpm))
    conditions = [Condition(sampler="se2p", steps=3)]
    half = generate(load(where, dtype=dtype), [Item(0)], conditions, raw=True)
    full = generate(load(where), [Item(0)], conditions, raw=True)

    assert half.raw[0][0].dtype == np.float32
    assert 0 < np.abs(half.raw[0][0] - full.raw[0][0]).max() < 0.2
    assert half.manifest["environment"]["dtype"] == dtype


@pytest.mark.parametrize(
    "build, family, files",
    [
        (pipelines.ddpm, Family.DDPM, {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"}),
        (pipelines.ldm, Family.LDM, {"vqvae/diffusion_pytorch_model.safetensors"}),
        (pipelines.dit, Family.DIT, {"transformer/diffusion_pytorch_model.safetensors"}),
        (pipelines.stable_diffusion, Family.STABLE_DIFFUSION, {"text_encoder/model.safetensors"}),
    ],
)
def test_a_model_is_known_by_the_hashes_of_all_its_files(loaded, build, family, files):
    model = loaded(build)

    assert model.family == family
    assert files | {"model_index.json", "scheduler/scheduler_config.json"} <= set(model.fingerprint)
    assert all(len(digest) == 64 for digest in model.fingerprint.values())


@pytest.mark.parametrize(
    "item, says",
    [
        (Item(0), r"label = \(empty\): allowed is a class by id or name: 0 daisy, 1 rose, 2 tulip"),
        (Item(0, label=3), "label = 3: allowed is a class"),
        (Item(0, label=1, prompt="a rose"), "prompt = a rose: allowed is none"),
        (Item(2**31, label=1), "seed = 2147483648"),
        (Item(-1, label=1), "seed = -1"),
    ],
)
def test_an_item_that_a_class_conditional_model_cannot_take_is_refused(flowers, item, says):
    with pytest.raises(NotAllowed, match=says):
        generate(flowers, [item], [Condition(sampler="ddpm", steps=1)])


@pytest.mark.parametrize("item", [Item(0, label=1), Item(0, prompt="a rose")])
def test_an_unconditional_model_takes_nothing_but_a_seed(plain, item):
    with pytest.raises(NotAllowed, match="takes nothing"):
        generate(plain, [item], [Condition(sampler="ddpm", steps=1)])


@pytest.mark.parametrize("options", [{"guidance": 4.0}])
def test_guidance_is_refused_where_there_is_none(flowers, options):
    with pytest.raises(NotAllowed, match="guidance = 4"):
        generate(flowers, [Item(0, label=1)], [Condition(sampler="ddpm", steps=1)], **options)


@pytest.mark.parametrize("options", [{"guidance": -1.0}, {"guided_channels": 5}, {"guided_channels": 0}])
def test_guidance_out_of_range_is_refused(loaded, options):
    with pytest.raises(NotAllowed, match="guid"):
        generate(
            loaded(pipelines.dit),
            [Item(0, label=1)],
            [Condition(sampler="ddpm", steps=1)],
            **options,
        )


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder(pipelines.ddpm), tmp_path / "copy")


def test_missing_weights_are_refused(copy):
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()

    with pytest.raises(BadModel, match="no weights in unet/"):
        load(str(copy))


def test_a_corrupt_weight_file_is_refused(copy):
    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(BadModel, match="unet cannot be loaded") as caught:
        load(str(copy))
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_in_the_file_are_refused(copy):
    from safetensors.torch import load_file, save_file

    path = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["conv_in.weight"]
    save_file(weights, path)

    with pytest.raises(BadModel, match="unet"):
        load(str(copy))


def test_weights_of_another_shape_are_refused(copy):
    config = json.loads((copy / "unet" / "config.json").read_text())
    config["block_out_channels"] = [8, 8]
    (copy / "unet" / "config.json").write_text(json.dumps(config))

    with pytest.raises(BadModel, match="unet cannot be loaded"):
        load(str(copy))


@pytest.mark.parametrize(
    "part, cls, library",
    [
        ("unet", "NoSuchNet", "diffusers"),
        ("unet", "system", "os"),
        ("scheduler", "FlowMatchEulerDiscreteScheduler", "diffusers"),
    ],
)
def test_a_component_of_another_kind_is_refused(copy, part, cls, library):
    rename(copy, part, cls, library)

    with pytest.raises(BadModel):
        load(str(copy))


def test_a_schedule_that_ends_in_pure_noise_is_refused_by_name(folder):
    with pytest.raises(BadModel, match=r"alphas_cumprod is 0\.0 at timestep 999 \(rescale_betas_zero_snr"):
        load(str(folder(pipelines.ddpm, rescale_betas_zero_snr=True)))


@pytest.mark.parametrize(
    "options",
    [{"device": "tpu"}, {"device": "cuda:99"}, {"dtype": "int8"}, {"device": "cpu", "graphs": True}],
)
def test_a_device_or_dtype_that_is_not_there_is_refused(folder, options):
    with pytest.raises(NotAllowed):
        load(str(folder(pipelines.ddpm)), **options)
