import re
import shutil

import pytest
from django import forms
from django.apps import apps
from django.urls import reverse

from generation import claims, gains, removal, sources, tasks
from generation.models import Chunk, Experiment, ImageModel, Pair, Score
from tests.generation.factories import experiment, flower_model, made

pytestmark = pytest.mark.django_db

ADD = "/admin/generation/experiment/add/"


@pytest.fixture(autouse=True)
def no_nudges(monkeypatch):
    """The broker of the tests must not fill with messages that nobody takes."""
    monkeypatch.setattr("generation.tasks.start", lambda experiment: None)


def form(**changes):
    fields = {
        "name": "flowers at 20 steps",
        "model": flower_model().pk,
        "subjects": "daisy\nrose",
        "seeds": "0:3",
        "steps": "20",
        "gamma": "0.015",
        "rho": "1.35",
        "offset": "1",
        "predictor_noise": "own",
        "spacing": "",
        "guidance": "",
    }
    return fields | changes


def errors(response) -> dict:
    return response.context["adminform"].form.errors


def test_it_works(admin_client):
    response = admin_client.post(ADD, form(controls=["ddpm-2n", "ddim"]), follow=True)

    asked = Experiment.objects.get()
    assert response.redirect_chain == [(asked.get_absolute_url(), 302)]
    assert [c.name for c in asked.conditions.all()] == ["baseline", "se2p", "ddpm-2n", "ddim"]
    assert asked.items.count() == 6
    assert "24 images in 18 pairs" in response.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"model": "999"}, "model", "valid choice"),
        ({"subjects": ""}, "subjects", "at least one line"),
        ({"subjects": "  \n "}, "subjects", "at least one line"),
        ({"subjects": "umbrella"}, "subjects", "0 daisy, 1 rose"),
        ({"seeds": "-1"}, "seeds", "0:8"),
        ({"seeds": "8:0"}, "seeds", "end is greater"),
        ({"steps": "0"}, "steps", "from 1 to"),
        ({"steps": "-5"}, "steps", "from 1 to"),
        ({"steps": "9" * 400}, "steps", "from 1 to"),
        ({"steps": "9" * 5000}, "steps", "from 1 to"),
        ({"steps": "1001"}, "steps", "1000"),
        ({"guidance": "7.5"}, "guidance", "has no guidance"),
        ({"steps": "many"}, "steps", "joined by commas"),
        ({"steps": ""}, "steps", "required"),
        ({"rho": "-1"}, "rho", "from 0 to 1000"),
        ({"rho": "1e300"}, "rho", "from 0 to 1000"),
        ({"rho": "9" * 400}, "rho", "number"),
        ({"rho": "nan"}, "rho", "number"),
        ({"gamma": "1.5"}, "gamma", "from 0 to 1"),
        ({"offset": "-1"}, "offset", "from 0 to"),
        ({"offset": "9" * 400}, "offset", "from 0 to"),
        ({"offset": "9" * 5000}, "offset", "from 0 to"),
        ({"offset": "\u0663"}, "offset", "from 0 to"),
        ({"offset": "1000"}, "offset", "less than 1000"),
        ({"subjects": "9" * 5000}, "subjects", "0 daisy, 1 rose"),
        ({"seeds": "9" * 5000}, "seeds", "0:8"),
        ({"offset": "half"}, "offset", "`step`"),
        ({"guidance": "-2"}, "guidance", "from 0 to"),
        ({"seeds": "0:5000000"}, "seeds", "at most"),
        ({"seeds": "0:500000"}, "__all__", "100,000"),
        ({"subjects": "daisy\x00"}, "subjects", "Null"),
    ],
)
def test_bad_input_is_refused_at_its_field_with_what_is_allowed(admin_client, changes, field, says):
    response = admin_client.post(ADD, form(**changes))

    assert response.status_code == 200
    assert says in str(errors(response)[field])
    assert not Experiment.objects.exists()


def test_a_name_is_taken_once(admin_client):
    admin_client.post(ADD, form())
    response = admin_client.post(ADD, form())

    assert "already exists" in str(errors(response)["name"])


@pytest.mark.parametrize("address", [ADD, "/admin/generation/imagemodel/add/"])
def test_a_name_that_another_request_took_meanwhile_is_an_error_at_its_field(
    admin_client, monkeypatch, address
):
    fields = form() | {"source": "starter/ddpm-flowers-32", "revision": "", "takes": "nothing"}
    admin_client.post(address, fields)
    model = apps.get_model("generation", address.split("/")[3])
    first = iter([None])
    check = forms.ModelForm.validate_unique

    def as_before_the_other(self):
        return next(first, check) and check(self)

    monkeypatch.setattr(forms.ModelForm, "validate_unique", as_before_the_other)

    response = admin_client.post(address, fields | {"source": "starter/ddpm-flowers-32"})

    assert next(first, "taken") == "taken"
    assert "already exists" in str(errors(response))
    assert model.objects.filter(name=fields["name"]).count() == 1


def test_all_means_every_class(admin_client):
    admin_client.post(ADD, form(subjects="all"))

    assert set(Experiment.objects.get().items.values_list("label", flat=True)) == {0, 1}


def test_a_local_model_is_known_from_its_folder(admin_client):
    fields = {"name": "starter", "source": "starter/ddpm-flowers-32", "revision": "", "takes": "nothing"}
    admin_client.post("/admin/generation/imagemodel/add/", fields)

    model = ImageModel.objects.get()
    assert (model.family, model.takes) == ("ddpm", "labels")
    assert "daisy" in model.labels.values()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("starter/none", "No bundled model"),
        ("/no/such/folder", "no such folder"),
        ("nothing", "hub id"),
        ("", "required"),
    ],
)
def test_a_source_that_is_no_model_is_refused(admin_client, source, says):
    fields = {"name": "x", "source": source, "revision": "", "takes": "nothing"}
    response = admin_client.post("/admin/generation/imagemodel/add/", fields)

    assert says in str(errors(response)["source"])


def test_a_folder_without_a_model_is_refused(admin_client, tmp_path):
    fields = {"name": "x", "source": str(tmp_path), "revision": "", "takes": "nothing"}
    response = admin_client.post("/admin/generation/imagemodel/add/", fields)

    assert "model_index.json" in str(errors(response)["source"])


@pytest.mark.parametrize("labels", ['{"0": "dai\\u0000sy"}', '{"0": "\\ud800"}', "[" * 100_000])
def test_a_broken_model_folder_is_refused(admin_client, tmp_path, labels):
    folder = tmp_path / "model"
    shutil.copytree(sources.STARTER / "ddpm-flowers-32", folder)
    (folder / "labels.json").write_text(labels)
    fields = {"name": "x", "source": str(folder), "revision": "", "takes": "nothing"}

    response = admin_client.post("/admin/generation/imagemodel/add/", fields)

    assert "label" in str(errors(response)["source"])


def test_the_page_shows_progress_and_pairs(admin_client):
    asked = experiment()
    chunk = claims.claim(Chunk.Stage.IMAGES, "one")
    claims.record_images(chunk, made(chunk), seconds=1, manifest={})

    page = admin_client.get(asked.get_absolute_url()).content.decode()

    assert "12 of 12 images made" in page
    picture = re.search(r'src="(/admin/generation/pair/image/[0-9a-f]{64}\.png)"', page)[1]
    answer = admin_client.get(picture)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.getvalue()


PRESET = "/admin/generation/experiment/preset/"


def test_a_preset_says_what_it_takes_before_it_is_started(admin_client):
    asked = {"preset": "paper", "model": "", "items": "100", "name": ""}

    shown = admin_client.post(PRESET, asked | {"show": ""}).content.decode()
    assert "3,200 images in 1,600 pairs" in shown
    assert not Experiment.objects.exists()
    assert not ImageModel.objects.exists()

    started = admin_client.post(PRESET, asked | {"start": ""})
    assert started.url == Experiment.objects.get().get_absolute_url()
    assert Experiment.objects.get().items.count() == 400


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preset": "all"}, "not one of the available"),
        ({"items": "0"}, "items = 0: allowed is"),
        ({"items": "9" * 5000}, "whole number"),
        ({"items": ""}, "required"),
        ({"name": "x" * 101}, "at most 100"),
        ({"name": "taken"}, "already"),
    ],
)
def test_a_preset_that_cannot_be_planned_is_refused_at_its_field(admin_client, changes, says):
    experiment(name="taken")

    response = admin_client.post(PRESET, {"preset": "noise", "items": "1", "name": "", "start": ""} | changes)

    assert says in response.content.decode()
    assert Experiment.objects.count() == 1


def with_scores(values):
    """An experiment whose six pairs have these brightnesses of the treatment; the baseline's are 0.5."""
    asked = experiment()
    chunk = claims.claim(Chunk.Stage.IMAGES, "one")
    claims.record_images(chunk, made(chunk), seconds=1, manifest={})
    for pair, value in zip(Pair.objects.order_by("pk"), values, strict=True):
        for image, score in ((pair.treatment, value), (pair.baseline, 0.5)):
            Score.objects.create(image=image, metric="brightness", version="1", value=score)
            Score.objects.create(image=image, metric="contrast", version="1", value=1 - score)
    gains.renew(chunk)
    return asked


def shown(response):
    return [
        next(s.value for s in pair.treatment.scores.all() if s.metric == "brightness")
        for pair in response.context["cl"].result_list
    ]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("brightness.treatment.high", [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]),
        ("brightness.treatment.low", [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]),
        ("brightness.gain.low", [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]),
        ("contrast.treatment.high", [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]),
        ("brightness.treatment.high&value_from=0.25&value_to=0.75", [0.7, 0.3]),
        ("brightness.gain.high&value_from=0.25", [0.9, 0.8]),
        ("brightness.treatment.high&value_from=1e400", [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]),
    ],
)
def test_pairs_are_ordered_and_cut_by_any_score(admin_client, chosen, expected):
    with_scores([0.3, 0.9, 0.1, 0.7, 0.2, 0.8])

    assert shown(admin_client.get(f"/admin/generation/pair/?score={chosen}")) == expected


@pytest.mark.parametrize("chosen", ["", "x", "brightness", "brightness.pair.high", "drift.gain.low"])
def test_an_order_that_is_none_is_left_aside(admin_client, chosen):
    with_scores([0.3, 0.9, 0.1, 0.7, 0.2, 0.8])

    assert len(shown(admin_client.get(f"/admin/generation/pair/?score={chosen}"))) == 6


def test_pairs_are_left_out_with_a_reason_and_taken_back(admin_client):
    with_scores([0.3, 0.9, 0.1, 0.7, 0.2, 0.8])
    first, second = Pair.objects.order_by("pk")[:2]
    act = {"action": "leave_out", "_selected_action": [first.pk, second.pk], "reason": "  washed\n out "}

    admin_client.post("/admin/generation/pair/", act)
    assert list(Pair.objects.exclude(excluded="").values_list("pk", "excluded")) == [
        (first.pk, "washed out"),
        (second.pk, "washed out"),
    ]
    assert len(shown(admin_client.get("/admin/generation/pair/?out=no"))) == 4

    admin_client.post("/admin/generation/pair/", act | {"action": "take_in"})
    assert not Pair.objects.exclude(excluded="").exists()


def test_a_pair_is_not_left_out_without_a_reason(admin_client):
    with_scores([0.3, 0.9, 0.1, 0.7, 0.2, 0.8])
    act = {"action": "leave_out", "_selected_action": [Pair.objects.first().pk], "reason": " "}

    said = admin_client.post("/admin/generation/pair/", act, follow=True).content.decode()

    assert "write why" in said
    assert not Pair.objects.exclude(excluded="").exists()


def test_a_pair_has_a_page_of_its_own(admin_client):
    with_scores([0.3, 0.9, 0.1, 0.7, 0.2, 0.8])
    page = admin_client.get(f"/admin/generation/pair/{Pair.objects.first().pk}/change/").content.decode()

    assert "Where they differ" in page
    assert "brightness 0.5 → 0.3" in page


def test_what_waits_says_for_what(admin_client):
    first, second = experiment(name="the first"), experiment(name="the second")

    assert "No worker has taken it up yet" in admin_client.get(first.get_absolute_url()).content.decode()
    assert "Begins after the first." in admin_client.get(second.get_absolute_url()).content.decode()


def test_an_error_stands_on_the_page(admin_client):
    asked = experiment()
    claims.give_back(claims.claim(Chunk.Stage.IMAGES, "one"), "The weights are missing.", may_pass=False)

    assert "The weights are missing." in admin_client.get(asked.get_absolute_url()).content.decode()


@pytest.mark.parametrize(
    ("do", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("resume", "running")]
)
def test_a_button_changes_the_state(admin_client, do, state):
    asked = experiment()

    admin_client.post(reverse("admin:generation_control", args=[asked.pk]), {"do": do})

    asked.refresh_from_db()
    assert asked.state == state


def test_a_get_changes_nothing(admin_client):
    asked = experiment()

    response = admin_client.get(reverse("admin:generation_control", args=[asked.pk]), {"do": "cancel"})

    assert response.status_code == 405
    asked.refresh_from_db()
    assert asked.state == "running"


def test_strangers_see_no_pictures(client):
    response = client.get(reverse("admin:generation_image_file", args=["0" * 64]))

    assert response.status_code == 302
    assert "/login/" in response.url


@pytest.mark.parametrize("name", ["%00", "..", "0" * 64, "é"])
def test_a_picture_that_is_none_is_not_found(admin_client, name):
    assert admin_client.get(f"/admin/generation/pair/image/{name}.png").status_code == 404


def test_staff_without_rights_see_and_change_nothing(client, django_user_model):
    asked = experiment()
    client.force_login(django_user_model.objects.create_user("helper", is_staff=True))
    progress, control = (
        reverse(f"admin:generation_{name}", args=[asked.pk]) for name in ("progress", "control")
    )

    assert client.get(reverse("admin:generation_image_file", args=["0" * 64])).status_code == 403
    assert client.get(progress).status_code == 403
    assert client.post(control, {"do": "cancel"}).status_code == 403
    assert client.get(asked.get_absolute_url()).status_code == 403
    assert client.post(ADD, form()).status_code == 403
    assert client.post(PRESET, {"preset": "noise", "items": "1", "start": ""}).status_code == 403
    asked.refresh_from_db()
    assert asked.state == "running"


def test_a_form_sent_twice_makes_one_experiment(admin_client):
    for _ in range(2):
        admin_client.post(ADD, form())

    assert Experiment.objects.count() == 1


def test_a_frozen_experiment_is_not_deleted(admin_client):
    asked = experiment()
    Experiment.objects.update(frozen=True)
    address = f"/admin/generation/experiment/{asked.pk}/delete/"

    page = admin_client.get(address).content.decode()
    admin_client.post(address, {"post": "yes"})

    assert "A published study shows images of an experiment" in page
    assert Experiment.objects.get().state == "running"


def _queries(django_assert_max_num_queries, client, address, most):
    with django_assert_max_num_queries(most):
        assert client.get(address).status_code == 200


def test_deleting_an_experiment_says_what_goes_and_is_left_to_a_worker(
    admin_client, django_capture_on_commit_callbacks, monkeypatch
):
    told = []
    monkeypatch.setattr("generation.tasks.delete_later", lambda: told.append("delete"))
    asked = experiment(seeds=range(20))
    claims.record_images(chunk := claims.claim("images", "w"), made(chunk), seconds=1.0, manifest={})
    page = admin_client.get(f"{asked.get_absolute_url().removesuffix('change/')}delete/").content.decode()

    with django_capture_on_commit_callbacks(execute=True):
        answer = admin_client.post(
            f"{asked.get_absolute_url().removesuffix('change/')}delete/", {"post": "yes"}, follow=True
        )

    images = 2 * (chunk.last - chunk.first + 1)
    assert f"{images:,} images, {images // 2:,} pairs, 40 items" in " ".join(page.split())
    assert "daisy, seed 3" not in page
    assert "is being deleted by workers" in answer.content.decode()
    assert Experiment.objects.get().state == "deleting"
    assert told == ["delete"]
    tasks.delete_experiments()
    assert not Experiment.objects.exists()


def test_several_are_deleted_at_once_but_none_that_is_frozen(admin_client):
    one, other = experiment(name="one"), experiment(name="other")
    Experiment.objects.filter(pk=other.pk).update(frozen=True)
    ask = {"action": "delete_selected", "_selected_action": [one.pk, other.pk]}

    asked = admin_client.post("/admin/generation/experiment/", ask)
    done = admin_client.post("/admin/generation/experiment/", ask | {"post": "yes"}, follow=True)

    for page in (asked, done):
        assert "A published study shows images of other" in page.content.decode()
    assert "1 being deleted by workers" in done.content.decode()
    assert "Successfully" not in done.content.decode()
    assert dict(Experiment.objects.values_list("name", "state")) == {"one": "deleting", "other": "running"}


def test_what_is_being_deleted_offers_nothing_and_says_so(admin_client):
    asked = experiment()
    Experiment.objects.update(state="deleting")
    address = asked.get_absolute_url()

    page = admin_client.get(address).content.decode()
    said = admin_client.post(address.replace("change", "control"), {"do": "resume"}, follow=True)
    metrics = admin_client.post(address.replace("change", "metrics"), {"metric": ["contrast"]}, follow=True)
    again = admin_client.post(address.replace("change", "delete"), {"post": "yes"}, follow=True)

    assert "Workers delete it" in page
    assert "Make a study" not in page
    assert "Score what is missing" not in page
    for answer in (said, metrics):
        assert "nothing can be done with it any more" in answer.content.decode()
    assert "is being deleted by workers" in again.content.decode()
    assert admin_client.get(reverse("admin:studies_experiment", args=[asked.pk])).status_code == 404


def test_who_chose_it_meanwhile_keeps_it(admin_client, monkeypatch):
    asked = experiment()

    def refuse(experiment):
        raise removal.InUse("Studies compare images of it.")

    monkeypatch.setattr("generation.control.delete", refuse)
    address = f"/admin/generation/experiment/{asked.pk}/delete/"
    said = admin_client.post(address, {"post": "yes"}, follow=True)
    ask = {"action": "delete_selected", "_selected_action": [asked.pk], "post": "yes"}
    said_of_several = admin_client.post("/admin/generation/experiment/", ask, follow=True)

    assert "Studies compare images of it." in said.content.decode()
    assert "Studies compare images of it." in said_of_several.content.decode()
    assert Experiment.objects.get().state == "running"


def test_a_model_in_use_is_not_deleted_and_its_items_are_not_listed(admin_client):
    asked = experiment(seeds=range(20))
    address = f"/admin/generation/imagemodel/{flower_model().pk}/delete/"

    page = admin_client.get(address).content.decode()
    admin_client.post(address, {"post": "yes"})
    kept = ImageModel.objects.count()
    asked.delete()
    admin_client.post(address, {"post": "yes"})

    assert str(asked) in page
    assert "daisy, seed 3" not in page
    assert (kept, ImageModel.objects.count()) == (1, 0)


def test_lists_take_a_bounded_number_of_queries(admin_client, django_assert_max_num_queries):
    for n in range(4):
        experiment(name=f"experiment {n}")
        while chunk := claims.claim(Chunk.Stage.IMAGES, "one"):
            claims.record_images(chunk, made(chunk), seconds=1, manifest={})
    assert Pair.objects.count() == 24

    _queries(django_assert_max_num_queries, admin_client, "/admin/generation/experiment/", 9)
    _queries(django_assert_max_num_queries, admin_client, "/admin/generation/pair/", 20)
