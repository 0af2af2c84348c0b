import json
import subprocess
import sys

import pytest

from generation.conditions import NotAllowed
from generation.sources import BadModel, Family, describe, find_label


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def flowers(tmp_path):
    write(tmp_path, "model_index.json", {"_class_name": "DDPMPipeline"})
    write(tmp_path, "unet/config.json", {"num_class_embeds": 3})
    write(tmp_path, "labels.json", {"0": "daisy", "2": "rose"})
    return tmp_path


def test_a_folder_is_known_by_its_pipeline_and_its_classes(flowers):
    found = describe(str(flowers))

    assert (found.family, found.path, found.hub_id, found.takes) == (Family.DDPM, flowers, None, "labels")
    assert found.labels == {0: "daisy", 1: "1", 2: "rose"}


def test_a_ddpm_without_class_embedding_takes_nothing(flowers):
    write(flowers, "unet/config.json", {"num_class_embeds": None})

    assert describe(str(flowers)).takes == "nothing"


def test_stable_diffusion_takes_prompts(tmp_path):
    write(tmp_path, "model_index.json", {"_class_name": "StableDiffusionPipeline"})

    assert describe(str(tmp_path)).takes == "prompts"


def test_the_classes_of_a_dit_are_in_its_index(tmp_path):
    write(
        tmp_path, "model_index.json", {"_class_name": "DiTPipeline", "id2label": {"1": "goldfish, Carassius"}}
    )
    write(tmp_path, "transformer/config.json", {"num_embeds_ada_norm": 2})

    assert describe(str(tmp_path)).labels == {0: "0", 1: "goldfish, Carassius"}


def test_a_hub_id_is_known_only_at_its_first_load():
    found = describe("google/ddpm-celebahq-256", "main")

    assert (found.hub_id, found.path, found.revision) == ("google/ddpm-celebahq-256", None, "main")
    assert (found.family, found.takes) == (None, "unknown")


@pytest.mark.parametrize(
    "source, says",
    [
        ("", "No model given"),
        ("   ", "No model given"),
        ("/no/such/folder", "no such folder"),
        ("./nowhere", "no such folder"),
        ("a/b/c", "no such folder"),
        ("justaname", "looks like org/name"),
        ("org/na me", "looks like org/name"),
        ("org/name\x00", "looks like org/name"),
        ("org/..", "looks like org/name"),
        ("org/" + "x" * 5000, "cannot be looked up"),
        ("~nobodyhere/x", "cannot be looked up"),
        ("starter/none", "No bundled model 'starter/none'"),
        ("starter/../engine", "No bundled model"),
    ],
)
def test_an_address_that_names_no_model_is_refused(source, says):
    with pytest.raises(BadModel, match=says):
        describe(source)


def test_a_file_is_refused(flowers):
    with pytest.raises(BadModel, match="name the folder"):
        describe(str(flowers / "labels.json"))


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(BadModel, match=r"no model_index\.json"):
        describe(str(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_an_unreadable_index_is_refused(tmp_path, content):
    (tmp_path / "model_index.json").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(BadModel, match=r"model_index\.json"):
        describe(str(tmp_path))


@pytest.mark.parametrize("name", ["StableDiffusionXLPipeline", None, ["DDPMPipeline"]])
def test_another_pipeline_is_refused_with_the_list_of_what_works(tmp_path, name):
    write(tmp_path, "model_index.json", {"_class_name": name})

    with pytest.raises(
        BadModel, match="not supported; these are: DDPMPipeline, LDMPipeline, DiTPipeline, Stable"
    ):
        describe(str(tmp_path))


@pytest.mark.parametrize(
    "labels",
    [
        {"a": "daisy"},
        {"3": "tulip"},
        [],
        {"0": {"a": 1}},
        {"0": "dai\0sy"},
        {"0": "\ud800"},
        {"0": "x" * 5000},
        {"9" * 5000: "daisy"},
    ],
)
def test_labels_that_do_not_fit_the_model_are_refused(flowers, labels):
    write(flowers, "labels.json", labels)

    with pytest.raises(BadModel, match=r"label|object"):
        describe(str(flowers))


def test_a_file_that_nests_without_end_is_refused(flowers):
    (flowers / "labels.json").write_text("[" * 100_000)

    with pytest.raises(BadModel, match="cannot be read as JSON"):
        describe(str(flowers))


@pytest.mark.parametrize("count", ["five", 5.5, -1, 0, 10**12, True, [5]])
@pytest.mark.parametrize(
    ("file", "name"),
    [("unet/config.json", "num_class_embeds"), ("scheduler/scheduler_config.json", "num_train_timesteps")],
)
def test_a_count_that_is_none_is_refused_with_its_file(flowers, file, name, count):
    write(flowers, file, {name: count})

    with pytest.raises(BadModel, match=rf"{name} = .*: allowed is a whole number from 1 to"):
        describe(str(flowers))


def test_a_folder_has_no_revision(flowers):
    with pytest.raises(BadModel, match="Revision 'main'"):
        describe(str(flowers), "main")


def test_a_malformed_revision_is_refused():
    with pytest.raises(BadModel, match="Revision"):
        describe("org/name", "ma in")


def test_a_label_is_asked_for_by_id_or_by_name():
    labels = {0: "tench, Tinca tinca", 1: "goldfish"}

    assert [find_label(labels, text) for text in (1, "0", "Goldfish", "tinca tinca")] == [1, 0, 1, 0]


@pytest.mark.parametrize("text", ["2", "shark", "", "-1", "²"])
def test_a_label_that_is_not_there_is_refused_with_those_that_are(text):
    with pytest.raises(NotAllowed, match="0 tench, 1 goldfish"):
        find_label({0: "tench", 1: "goldfish"}, text)


def test_the_rules_are_known_without_torch_or_django():
    code = (
        "import sys, generation.conditions, generation.sources; print({'torch', 'django'} & set(sys.modules))"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
