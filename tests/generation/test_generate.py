import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import call_command, execute_from_command_line
from PIL import Image

from generation import __version__
from generation.conditions import Condition, Sampler
from generation.engine import driver, png
from generation.engine.families import load
from generation.engine.folder import BadFolder, Folder, read_manifest

from .engine import pipelines


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    return str(pipelines.ddpm(tmp_path_factory.mktemp("flowers"), classes=True))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return str(pipelines.ddpm(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    return str(pipelines.stable_diffusion(tmp_path_factory.mktemp("painter")))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def arguments(model, out, *more, seeds="0:3", steps=3):
    return ["--model", model, "--out", str(out), "--seeds", seeds, "--steps", str(steps), *more]


def generate(*args, **options):
    said = io.StringIO()
    call_command("generate", *arguments(*args, **options), stdout=said, stderr=said)
    return said.getvalue()


def refused(capsys, *args):
    """The one line on stderr of a command line that is refused."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(["manage.py", "generate", *args])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (line,) = said.strip().splitlines()
    return line


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder, pattern="*.png"):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def test_it_works(plain, out):
    assert generate(plain, out, seeds="0:2") == f"2 pairs in {out}: 2 made now, 0 were there.\n"

    assert names(out) == ["0_baseline.png", "0_se2p.png", "1_baseline.png", "1_se2p.png", "manifest.jsonl"]
    assert Image.open(out / "0_se2p.png").size == (8, 8)
    assert Image.open(out / "0_se2p.png").info == {}


def test_several_labels_are_counted_in_the_order_given(flowers, out):
    generate(flowers, out, "--labels", "tulip", "0", seeds="7")

    assert names(out)[:4] == ["7_0_baseline.png", "7_0_se2p.png", "7_1_baseline.png", "7_1_se2p.png"]
    assert [entry["label"] for entry in read_manifest(out)] == [2, 0]


def test_one_label_is_not_counted(flowers, out):
    generate(flowers, out, "--labels", "rose", seeds="7")

    assert names(out)[:2] == ["7_baseline.png", "7_se2p.png"]


def test_prompts_are_read_a_line_each(painter, out, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red rose\n\nthe rain\n", encoding="utf-8")

    generate(
        painter, out, "--prompts", str(prompts), "--negative-prompt", "blurred", "--guidance", "5", seeds="1"
    )

    entries = read_manifest(out)
    assert [(entry["prompt"], entry["negative_prompt"]) for entry in entries] == [
        ("a red rose", "blurred"),
        ("the rain", "blurred"),
    ]
    assert {entry["guidance"] for entry in entries} == {5.0}


def test_a_prompt_that_is_cut_is_said_and_recorded(painter, out, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a rose " * 10)

    said = generate(painter, out, "--prompts", str(prompts), seeds="0:2")

    assert said.count("Note: Prompt 'a rose") == 1
    assert "takes 12 tokens" in read_manifest(out)[0]["warnings"][0]


@pytest.mark.parametrize(
    "flags, name, condition",
    [
        (
            ["--gamma", "0.1", "--rho", "1", "--offset", "step"],
            "se2p",
            {"gamma": 0.1, "rho": 1.0, "offset": "step"},
        ),
        (
            ["--predictor-noise", "shared", "--processors", "3"],
            "se2p",
            {"predictor_noise": "shared", "processors": 3},
        ),
        (["--sampler", "naive", "--offset", "4"], "naive", {"offset": 4}),
        (["--sampler", "ddim"], "ddim", {}),
        (["--sampler", "ddpm", "--noise-scale", "1.2"], "ddpm", {"noise_scale": 1.2}),
        (
            ["--sampler", "ddpm", "--noise-scale", "se2p", "--rho", "2"],
            "ddpm",
            {"noise_scale": "se2p", "rho": 2.0},
        ),
        (["--sampler", "ddpm", "--noise-scale", "1,1.2,1"], "ddpm", {"noise_scale": [1.0, 1.2, 1.0]}),
        (["--sampler", "ddpm", "--variance", "fixed_large"], "ddpm", {"variance": "fixed_large"}),
        (["--sampler", "ddpm", "--treatment-steps", "6"], "ddpm", {"steps": 6}),
        (
            ["--sampler", "diffusers", "--scheduler", "DPMSolverMultistepScheduler"],
            "diffusers",
            {"scheduler": "DPMSolverMultistepScheduler"},
        ),
    ],
    ids=str,
)
def test_flags_change_the_treatment_only_and_its_files_bear_the_samplers_name(
    plain, out, flags, name, condition
):
    generate(plain, out, *flags, seeds="5")

    assert names(out)[:2] == sorted(["5_baseline.png", f"5_{name}.png"])
    (entry,) = read_manifest(out)
    made = entry["parameters"]["conditions"]
    assert made["baseline"] == Condition(sampler=Sampler.DDPM, steps=3).to_json()
    assert made[name] == Condition(**{"sampler": name, "steps": 3} | condition).to_json()
    assert entry["environment"]["evalsite"] == __version__


def test_the_spacing_is_that_of_both(plain, out):
    generate(plain, out, "--spacing", "trailing", seeds="5")

    assert {c["spacing"] for c in read_manifest(out)[0]["parameters"]["conditions"].values()} == {"trailing"}


def test_raw_images_are_float32_with_the_channels_first(plain, out):
    generate(plain, out, "--raw", seeds="5")

    raw = np.load(out / "5_se2p.npy")
    assert (raw.shape, raw.dtype) == ((3, 8, 8), np.float32)
    assert (driver.quantise(raw) == np.asarray(Image.open(out / "5_se2p.png"))).all()


def test_the_manifest_makes_the_images_again(flowers, out):
    generate(flowers, out, "--labels", "rose", "daisy", "--batch", "4", seeds="3:6")
    entry = read_manifest(out)[1]

    model = load(entry["model"]["source"], entry["model"]["commit"])
    items = [driver.Item(**item) for item in entry["batch"]]
    chosen = {name: Condition.from_json(c) for name, c in entry["parameters"]["conditions"].items()}
    split = driver.Split(**entry["split"])
    result = driver.generate(model, items, list(chosen.values()), guidance=entry["guidance"], split=split)

    row = items.index(driver.Item(seed=entry["seed"], label=entry["label"]))
    for image, name in zip(result.images[row], chosen, strict=True):
        assert png.encode(image) == (out / entry["images"][name]).read_bytes()
    assert entry["parameters"]["weights"] == model.fingerprint
    assert entry["environment"]["torch"] in torch.__version__


def test_a_whole_folder_is_left_as_it_is(plain, out):
    generate(plain, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    assert "0 made now, 3 were there" in generate(plain, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_what_is_missing_or_changed_is_made_again_to_the_same_bytes(plain, out):
    generate(plain, out, "--batch", "2")
    before = contents(out)
    (out / "1_se2p.png").unlink()
    (out / "2_baseline.png").write_bytes(b"broken")

    assert "2 made now, 1 were there" in generate(plain, out, "--batch", "2")
    assert contents(out) == before
    assert len(read_manifest(out)) == 3


def test_a_run_that_was_stopped_goes_on(plain, out, tmp_path, monkeypatch):
    generate(plain, tmp_path / "undisturbed", "--batch", "2", seeds="0:5")
    real = driver.generate
    calls = 0

    def stopped(*args, **options):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(driver, "generate", stopped)
    with pytest.raises(Exception, match="The same command goes on"):
        generate(plain, out, "--batch", "2", seeds="0:5")
    assert len(read_manifest(out)) == 2

    assert "3 made now, 2 were there" in generate(plain, out, "--batch", "2", seeds="0:5")
    assert contents(out) == contents(tmp_path / "undisturbed")


KILLED = """
import os, signal, sys
from django.core.management import execute_from_command_line
from generation.engine import folder
write = folder.write_whole
def write_and_die(path, data):
    write(path, data)
    if path.name == "3_se2p.png":  # its item has no line yet
        os.kill(os.getpid(), signal.SIGKILL)
folder.write_whole = write_and_die
execute_from_command_line(sys.argv[1:])
"""


@pytest.mark.faults
def test_a_killed_run_goes_on_to_the_same_bytes(plain, out, tmp_path):
    args = arguments(plain, out, "--batch", "2", seeds="0:8")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "manage.py", "generate", *args],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    manifest = out / "manifest.jsonl"
    assert len(read_manifest(out)) == 3
    # A kill can leave a file under its temporary name and a line without its end.
    (out / ".9_se2p.png.part").write_bytes(b"half")
    with manifest.open("ab") as file:
        file.write(b'{"id": "9", "fi')

    said = generate(plain, out, "--batch", "2", seeds="0:8")

    assert "5 made now, 3 were there" in said
    assert len(names(out)) == 17
    assert len(read_manifest(out)) == 8
    generate(plain, tmp_path / "undisturbed", "--batch", "2", seeds="0:8")
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "more, parameter",
    [
        (["--steps", "4"], "conditions"),
        (["--rho", "2"], "conditions"),
        (["--seeds", "0:4"], "items"),
        (["--batch", "2"], "batch"),
        (["--raw"], "raw"),
        (["--dtype", "bfloat16"], "dtype"),
    ],
)
def test_a_folder_made_with_other_parameters_is_refused(plain, out, capsys, more, parameter):
    generate(plain, out)
    before = contents(out, "*")

    line = refused(capsys, *arguments(plain, out), *more)

    assert re.search(rf"was made with other parameters \({parameter}: .* now .*\): name another folder", line)
    assert contents(out, "*") == before


def test_a_folder_made_with_another_model_is_refused(plain, flowers, out, capsys):
    generate(plain, out)

    line = refused(capsys, *arguments(flowers, out, "--labels", "rose"))

    assert "other parameters (weights" in line


def test_a_folder_with_other_files_is_refused(plain, out, capsys):
    out.mkdir()
    (out / "thesis.tex").write_text("my only copy")

    assert "holds thesis.tex, which is not of this run" in refused(capsys, *arguments(plain, out))
    assert names(out) == ["thesis.tex"]


def test_scores_in_the_folder_do_not_hinder(plain, out):
    generate(plain, out)
    (out / "scores.csv").write_text("item,side,metric,value\n")

    assert "0 made now" in generate(plain, out)
    assert (out / "scores.csv").exists()


def test_a_folder_that_another_process_fills_is_refused(plain, out, capsys):
    with Folder.open(out, {}, ()):
        assert "another process is filling it" in refused(capsys, *arguments(plain, out))


def test_a_manifest_that_is_none_is_refused(tmp_path):
    (tmp_path / "manifest.jsonl").write_text('{"id": "0"}\nnonsense\n')

    with pytest.raises(BadFolder, match="line 2"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "more, says",
    [
        (["--steps", "0"], "steps = 0: allowed is a whole number from 1 to"),
        (["--steps", "1001"], "steps = 1001: allowed is a whole number from 1 to 1000"),
        (["--treatment-steps", "-1"], "steps = -1"),
        (["--gamma", "1.5"], "gamma = 1.5: allowed is a number from 0 to 1"),
        (["--gamma", "nan"], "gamma = nan"),
        (["--rho", "-1"], "rho = -1.0: allowed is a number from 0 to 1000"),
        (["--offset", "-1"], "offset = -1"),
        (["--processors", "1"], "processors = 1: allowed is a whole number from 2 to 64"),
        (["--noise-scale", "-0.5", "--sampler", "ddpm"], "noise_scale = -0.5"),
        (["--noise-scale", "1,1", "--sampler", "ddpm"], "a list of 3, one a step"),
        (["--noise-scale", "1.1"], "noise_scale = 1.1: allowed is nothing but the default"),
        (["--sampler", "euler"], "sampler = euler: allowed is one of ddpm, se2p"),
        (["--sampler", "diffusers"], "scheduler = (none): allowed is one of DDIMScheduler"),
        (["--sampler", "diffusers", "--scheduler", "os"], "scheduler = os: allowed is one of"),
        (["--sampler", "ddpm"], "each condition once"),
        (["--seeds", "3:3"], "seeds = 3:3"),
        (["--seeds", "2147483648"], "seed = 2147483648: allowed is a whole number from 0 to 2147483647"),
        (["--seeds", "0:20000000"], "seeds = 0:20000000: allowed is 1000000 seeds at most"),
        (["--labels", "rose"], "labels = rose: allowed is none: the model takes nothing"),
        (["--prompts", "x.txt"], "prompts = x.txt: allowed is none: the model takes nothing"),
        (["--negative-prompt", "blur"], "negative_prompt = blur: allowed is none: the model takes nothing"),
        (["--guidance", "3"], "guidance = 3.0: allowed is none"),
        (["--guided-channels", "3"], "guided_channels = 3: allowed is none"),
        (["--rho", "1e300"], "rho = 1e+300: allowed is a number from 0 to 1000"),
        (["--offset", "1000"], "offset = 1000: allowed is less than 1000"),
        (["--batch", "0"], "batch = 0"),
        (["--dtype", "int8"], "dtype = int8: allowed is one of float32"),
        (["--device", "tpu"], "device = tpu: allowed is cpu"),
        (["--spacing", "even"], "spacing = even"),
        (["--revision", "main"], "Revision 'main'"),
        (["--model", "/no/such/model"], "/no/such/model: no such folder"),
        (["--out", "/proc/none/out"], "/proc/none/out: cannot be written"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(plain, out, capsys, more, says):
    assert says in refused(capsys, *arguments(plain, out), *more)
    assert not out.exists()


@pytest.mark.parametrize(
    "labels, says",
    [
        ([], "labels = (none): allowed is one or more of daisy, rose, tulip"),
        (["--labels", "oak"], "label = oak: allowed is a class by id or name: 0 daisy, 1 rose, 2 tulip"),
        (["--labels", "3"], "label = 3: allowed is a class by id or name"),
    ],
)
def test_a_class_conditional_model_needs_labels_that_it_has(flowers, out, capsys, labels, says):
    assert says in refused(capsys, *arguments(flowers, out), *labels)
    assert not out.exists()


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "No such file or directory"),
        (b"\n  \n", "it has none"),
        (b"caf\xe9\n", "a text file in UTF-8"),
    ],
)
def test_a_prompt_file_that_cannot_be_read_is_refused(painter, out, capsys, tmp_path, content, says):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)

    assert says in refused(capsys, *arguments(painter, out, "--prompts", str(path)))


def test_a_prompt_model_without_prompts_is_refused(painter, out, capsys):
    assert "prompts = (none): allowed is a file" in refused(capsys, *arguments(painter, out))


@pytest.mark.parametrize(
    "args",
    [[], ["--model"], ["--offset", "soon"], ["--steps", "many"], ["--noise-scale", "1,x"], ["--nonsense"]],
)
def test_a_command_line_that_cannot_be_read_exits_with_2(plain, out, args):
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(["manage.py", "generate", *(arguments(plain, out) if args else []), *args])
    assert caught.value.code == 2


def test_what_does_not_fit_on_the_disk_is_one_line(plain, out, capsys, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("generation.engine.folder.write_whole", full)

    assert "No space left on device" in refused(capsys, *arguments(plain, out))
    assert not out.exists()


def test_reading_a_folder_needs_no_torch():
    code = "import sys, generation.engine.folder; print('torch' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_manifest_is_one_json_object_a_line(plain, out):
    generate(plain, out, seeds="0:2")

    lines = (out / "manifest.jsonl").read_text().splitlines()

    assert [json.loads(line)["seed"] for line in lines] == [0, 1]


def test_a_log_gets_lines_where_a_terminal_gets_a_bar(plain, out, capfd):
    generate(plain, out, "--batch", "2")

    assert [line for line in capfd.readouterr().err.splitlines() if "pairs" in line] == [
        "2 of 3 pairs",
        "3 of 3 pairs",
    ]
