"""A tuning from the admin: from its form through rounds of images to the experiment that it recommends."""

import io
import json
import threading

import numpy as np
import pytest
import torch
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from evalsite import asked, rounds, tasks, tunings
from evalsite.drawing import Gallery, NotDrawn
from generation import tasks as generation_tasks
from generation.conditions import Condition, Sampler
from generation.engine.families import load
from generation.models import Chunk, Experiment, Image, ImageModel, LooseFile, Pair, Tuning
from tests.generation.engine import pipelines

SETS = {"references": 8, "reference_steps": 6, "pilot": 8, "judge": 9, "tries": 6}
pytestmark = pytest.mark.django_db(transaction=True)  # leases are renewed on connections of their own


@pytest.fixture(autouse=True)
def here(monkeypatch, settings, tmp_path):
    """The workers' tasks run where they are called, with a storage of the test's own."""
    torch.set_num_threads(1)
    monkeypatch.setattr(generation_tasks, "_nudge", lambda task, times=1: None)
    monkeypatch.setattr(generation_tasks, "_loaded", {})
    settings.IMAGE_ROOT = tmp_path / "images"
    settings.STORAGES = dict(settings.STORAGES)  # so that Django makes the storage anew


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return str(pipelines.ddpm(tmp_path_factory.mktemp("flowers"), classes=True))


@pytest.fixture
def model(source):
    return ImageModel.objects.create(
        name="flowers", source=source, family="ddpm", takes="labels", labels={"0": "a", "1": "b"}
    )


def begun(model, **changes):
    subjects = [{"label": 0}, {"label": 1}]
    return tunings.begin("mine", model, asked.Asked(steps=[2, 4], subjects=subjects, **(SETS | changes)))


def drawn() -> int:
    """Draw what is planned. Returns how many chunks there were."""
    open_chunks = Chunk.objects.filter(stage=Chunk.Stage.IMAGES, failed=False)
    count = open_chunks.count()
    for _ in range(count):
        generation_tasks.make_images()
    assert not open_chunks.exists(), list(open_chunks.values("error"))
    return count


def finished(row: Tuning) -> Tuning:
    for _ in range(20):
        tunings.advance(row.pk)
        row.refresh_from_db()
        if row.state != Tuning.State.RUNNING:
            return row
        assert drawn(), row.error
    pytest.fail("it comes to no end")


def test_it_is_the_commands_search_on_other_images(model, source, tmp_path, monkeypatch):
    """Pixels may differ by a level, since they are drawn in other batches; so the command is given these."""
    row = finished(begun(model))
    gallery = rounds.Rounds(load(source), row)

    class Given(Gallery):
        def images(self, condition, items):
            return gallery.images(condition, items)

        def seconds(self, condition, items):
            return gallery.seconds(condition, items)

    drawn_by_command = Gallery(load(source), tmp_path / "drawn", said=lambda text: None)
    items = asked.Asked(**row.asked).items(asked.PILOT_SEEDS, 8)
    for condition in (
        Condition(sampler=Sampler.SE2P, steps=4, rho=2.0),
        Condition(sampler=Sampler.DDPM, steps=2),
    ):
        for ours, theirs in zip(
            gallery.images(condition, items), drawn_by_command.images(condition, items), strict=True
        ):
            assert np.abs(ours.astype(int) - theirs).max() <= 1

    monkeypatch.setattr("evalsite.drawing.Gallery", Given)
    out = tmp_path / "command"
    out.mkdir()
    words = [word for name, value in SETS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    call_command("tune", "--model", source, "--steps", "2,4", "--labels", "0", "1", *words, "--out", str(out),
                 stdout=io.StringIO(), stderr=io.StringIO())  # fmt: skip
    command = json.loads((out / "tune.json").read_text())

    assert row.found.pop("model") == command.pop("model")
    assert row.found == command


def test_nothing_is_drawn_twice_and_settings_are_drawn_together(model):
    row = finished(begun(model))

    images = Image.objects.filter(item__experiment__tuning=row).select_related("item", "condition", "chunk")
    settings_drawn = [
        (json.dumps(image.condition.recipe, sort_keys=True), image.steps, image.item.seed, image.item.label)
        for image in images
    ]
    assert len(settings_drawn) == len(set(settings_drawn))
    settings_of = [each.conditions.count() * len(each.steps) for each in row.rounds.order_by("pk")]
    # The reference; then what is tried first at N = 2 and 4 (by SE2P) and at 2, 4 and 8 (by the baseline).
    assert settings_of[:3] == [1, 2 * 5 * 2, 5 * 3]
    assert not Experiment.that_stand_alone().exists()


def test_a_step_that_is_taken_twice_plans_nothing_twice(model):
    row = begun(model)
    tunings.advance(row.pk)
    planned = list(row.rounds.values_list("pk", flat=True))

    tunings.advance(row.pk)

    assert list(row.rounds.values_list("pk", flat=True)) == planned
    assert not tunings.ready().exists()
    drawn()
    assert tunings.ready().get() == row


def test_a_step_that_was_killed_is_taken_again(model, monkeypatch):
    row = begun(model)

    def killed(*args, **options):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("evalsite.rounds.planning.make", killed)
        with pytest.raises(SystemExit):
            tunings.advance(row.pk)
    row.refresh_from_db()
    assert (row.state, row.rounds.count()) == ("running", 0)

    tunings.advance(row.pk)

    assert row.rounds.count() == 1


def test_an_error_that_cannot_pass_ends_it_with_its_words(model):
    row = begun(model, reference_steps=50_000)
    tunings.advance(row.pk)

    row.refresh_from_db()
    assert row.state == Tuning.State.FAILED
    assert "steps" in row.error


def test_an_error_that_may_pass_is_tried_again_and_then_left(model, monkeypatch):
    row = begun(model)
    with monkeypatch.context() as patch:
        patch.setattr(tunings, "_step", lambda row: (_ for _ in ()).throw(OSError("no storage")))
        for attempt in range(1, tunings.MOST_ATTEMPTS + 1):
            tunings.advance(row.pk)
            row.refresh_from_db()
            assert (row.attempts, row.error) == (attempt, "no storage")
    assert row.state == Tuning.State.FAILED

    tunings.retry(row)
    tunings.advance(row.pk)

    row.refresh_from_db()
    assert (row.state, row.attempts, row.error) == ("running", 0, "")
    assert row.rounds.count() == 1


def test_a_lost_picture_is_told(model):
    row = begun(model)
    tunings.advance(row.pk)
    drawn()
    default_storage.delete(Image.objects.first().file)

    tunings.advance(row.pk)

    row.refresh_from_db()
    assert row.attempts == 1
    assert "No such file" in row.error


def test_the_page_says_how_much_is_left_of_the_whole(admin_client, model):
    row = begun(model)
    tunings.advance(row.pk)

    before = now(admin_client, row)
    drawn()
    after = now(admin_client, row)

    total = asked.Asked(**row.asked).images
    assert f"0 of 8 images of 1 round drawn, about {total:,} in all; what comes out" in before
    assert f"8 of 8 images of 1 round drawn, about {total:,} in all, about" in after
    assert "left on one worker" in after
    assert f'value="{100 * 8 // total}"' in after


def test_the_watch_tells_a_worker_once(model, monkeypatch):
    row = begun(model)
    told = []
    monkeypatch.setattr(tasks.advance_tuning, "apply_async", lambda args, retry: told.append(args))

    tasks.watch_tunings()
    tasks.watch_tunings()

    assert told == [[row.pk]]


def test_a_cancelled_one_draws_no_more(model):
    row = begun(model)
    tunings.advance(row.pk)

    tunings.cancel(row)

    row.refresh_from_db()
    assert row.state == Tuning.State.CANCELLED
    assert [each.state for each in row.rounds.all()] == ["cancelled"]
    assert drawn_nothing()


def test_a_cancelled_one_goes_on_with_what_it_has(model):
    row = begun(model)
    tunings.advance(row.pk)
    tunings.cancel(row)

    tunings.go_on(row)

    row.refresh_from_db()
    assert finished(row).state == Tuning.State.DONE
    assert row.rounds.filter(name="mine, round 1: reference").count() == 1


def drawn_nothing() -> bool:
    generation_tasks.make_images()
    return not Image.objects.exists()


def form(model, **changes):
    return {
        "name": "mine", "model": model.pk, "subjects": "", "steps": "2, 4", "offsets": "1", "guidance": "",
    } | SETS | changes  # fmt: skip


def test_a_deleted_one_goes_with_its_rounds(admin_client, model):
    row = begun(model)
    tunings.advance(row.pk)
    drawn()
    files = Image.objects.count()
    address = reverse("admin:generation_tuning_delete", args=[row.pk])

    page = admin_client.get(address).content.decode()
    admin_client.post(address, {"post": "yes"})
    tunings.advance(row.pk)
    tasks.watch_tunings()
    waits = Tuning.objects.filter(state="deleting").count()
    generation_tasks.delete_experiments()
    tasks.watch_tunings()

    assert f"mine: {files} images" in " ".join(page.split())
    assert (waits, Tuning.objects.count(), Experiment.objects.count()) == (1, 0, 0)
    assert LooseFile.objects.count() == files


def test_who_cancels_or_deletes_it_does_not_wait_for_a_step(model, monkeypatch):
    row = begun(model)

    def at_it(*args, **kwargs):
        """In the middle of a step somebody else, on another connection, deletes it."""
        other = threading.Thread(target=delete)
        other.start()
        other.join(60)
        assert not other.is_alive()
        raise NotDrawn([])

    def delete():
        tunings.cancel(row)
        tunings.delete(row)
        connection.close()

    monkeypatch.setattr("evalsite.tune.Tuner.run", at_it)
    tunings.advance(row.pk)

    row.refresh_from_db()
    assert row.state == "deleting"
    assert not row.rounds.exists()


def test_two_workers_do_not_take_the_same_step(model, monkeypatch):
    row = begun(model)
    steps = []

    def at_it(*args, **kwargs):
        steps.append("one")
        other = threading.Thread(target=lambda: (tunings.advance(row.pk), connection.close()))
        other.start()
        other.join(60)
        assert not other.is_alive()
        raise NotDrawn([])

    monkeypatch.setattr("evalsite.tune.Tuner.run", at_it)
    tunings.advance(row.pk)

    assert steps == ["one"]


def test_an_error_overrules_nobody(model, monkeypatch):
    row = begun(model)
    monkeypatch.setattr(tunings, "_step", lambda row: 1 / 0)
    monkeypatch.setattr(tunings, "MOST_ATTEMPTS", 1)
    real = tunings._failed

    def cancelled_meanwhile(key, error):
        tunings.cancel(row)
        real(key, error)

    monkeypatch.setattr(tunings, "_failed", cancelled_meanwhile)
    tunings.advance(row.pk)

    row.refresh_from_db()
    assert (row.state, row.error) == ("cancelled", "")


def test_a_model_that_is_not_there_is_not_tuned(admin_client):
    assert admin_client.get("/admin/generation/imagemodel/999/tune/").status_code == 404


def test_the_first_page_shows_how_far_it_is(admin_client, model):
    tunings.advance(begun(model).pk)

    page = " ".join(admin_client.get("/admin/").content.decode().split())

    assert "tuning, 0 of 8 images of 1 round drawn" in page
    assert "round 1" not in page


def test_from_the_models_page_to_an_experiment_for_people(admin_client, model):
    address = reverse("admin:generation_imagemodel_tune", args=[model.pk])
    page = admin_client.get(address, follow=True)
    assert page.context["adminform"].form.initial["model"] == model.pk
    answer = admin_client.post(reverse("admin:generation_tuning_add"), form(model), follow=True)
    row = Tuning.objects.get()
    assert f"{asked.Asked(**row.asked).evaluations:,} evaluations" in answer.content.decode()
    assert "No image is drawn yet" in answer.content.decode()
    tunings.advance(row.pk)
    assert "0 of 8 images of 1 round drawn" in now(admin_client, row)

    page = admin_client.get(finished(row).get_absolute_url()).content.decode()

    assert "At N = 4 the pilots chose SE2P with" in page
    assert "DPM-Solver++(2M)" in page
    report = admin_client.get(reverse("admin:generation_tuning_report", args=[row.pk]))
    assert b"<svg" in report.content
    assert admin_client.get(reverse("admin:generation_tuning_json", args=[row.pk])).json() == row.found
    assert row.name in admin_client.get("/admin/").content.decode()

    wanted = {"steps": "4", "items": "3"}
    admin_client.post(reverse("admin:generation_tuning_experiment", args=[row.pk]), wanted)

    made = Experiment.that_stand_alone().get()
    again = admin_client.post(
        reverse("admin:generation_tuning_experiment", args=[row.pk]), wanted, follow=True
    )
    assert again.redirect_chain[-1][0] == made.get_absolute_url()  # a second press, in another tab
    assert "is made already" in again.content.decode()
    assert Experiment.that_stand_alone().count() == 1
    page = admin_client.get(row.get_absolute_url()).content.decode()
    assert f'Made already: <a href="{made.get_absolute_url()}">{made}</a> (3 items).' in page
    assert page.count("Made already") == 1
    one = row.found["steps"][1]
    se2p, control, toned = made.conditions.order_by("position")
    assert toned.name.startswith("ddpm-tone")
    assert len(toned.recipe["tone"]) == 3
    assert se2p.recipe["rho"] == one["judged"][0]["condition"]["rho"]
    assert control.recipe["sampler"] != "se2p"
    drawn()
    assert Pair.objects.filter(experiment=made, steps=4).count() == 3 * 2
    assert set(made.items.values_list("seed", flat=True)) == {3_000_000, 3_000_001, 3_000_002}
    page = admin_client.get(made.get_absolute_url()).content.decode()
    assert f"compose/?experiment={made.pk}" in page
    assert f"4 steps: se2p, {toned.name}<" in page  # the first of a pair is no baseline here
    pair = Pair.objects.filter(experiment=made).first()
    page = admin_client.get(reverse("admin:generation_pair_change", args=[pair.pk])).content.decode()
    assert "<figcaption>se2p</figcaption>" in page


def now(client, row) -> str:
    page = client.get(reverse("admin:generation_tuning_now", args=[row.pk])).content.decode()
    return " ".join(page.split())


def test_the_form_has_one_button_that_says_what_it_does(admin_client, model):
    page = admin_client.get(reverse("admin:generation_tuning_add")).content.decode()

    assert "Begin the tuning" in page
    assert "_addanother" not in page
    assert "_continue" not in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": "2, x"}, "x"),
        ({"steps": ""}, "required"),
        ({"steps": "600"}, "2N steps"),
        ({"steps": ", ".join(map(str, range(1, 30)))}, "29 steps: give from 1 to 20"),
        ({"judge": "100000", "pilot": "100000"}, "allowed are 1,000,000 in all"),
        ({"pilot": "7"}, "from 8 to 100000"),
        ({"tries": "2"}, "from 5 to 100"),
        ({"offsets": "-1"}, "offset"),
        ({"subjects": "tulip"}, "tulip"),
        ({"guidance": "2"}, "has no guidance"),
        ({"name": "a\x07b"}, "name"),
    ],
)
def test_a_form_says_what_is_wrong(admin_client, model, changes, said):
    ImageModel.objects.update(train_timesteps=1000)

    answer = admin_client.post(reverse("admin:generation_tuning_add"), form(model, **changes))

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Tuning.objects.exists()


def test_a_name_is_taken_once(admin_client, model):
    for _ in range(2):
        answer = admin_client.post(reverse("admin:generation_tuning_add"), form(model))

    assert "already exists" in answer.content.decode()
    assert Tuning.objects.count() == 1


@pytest.mark.parametrize("items", ["0", "", "1e9", "-3", "99999", "٣"])
def test_a_wrong_number_of_items_makes_nothing(admin_client, model, items):
    row = begun(model)
    row.found, row.state = {"steps": [{"steps": 2, "judged": []}]}, "done"
    row.save()
    address = reverse("admin:generation_tuning_experiment", args=[row.pk])

    answer = admin_client.post(address, {"steps": "2", "items": items})

    assert answer.status_code == 302
    assert not Experiment.objects.exists()
    assert admin_client.post(address, {"steps": "3", "items": "2"}).status_code == 404


def test_who_may_only_look_changes_nothing(client, model, django_user_model):
    from django.contrib.auth.models import Permission

    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_tuning"))
    row = begun(model)
    client.force_login(reader)

    page = client.get(row.get_absolute_url())
    assert page.status_code == 200
    assert "Cancel" not in page.content.decode()
    for name, data in (("do", {"do": "cancel"}), ("experiment", {"steps": "2", "items": "2"})):
        address = reverse(f"admin:generation_tuning_{name}", args=[row.pk])
        assert client.post(address, data).status_code == 403
        assert client.get(address).status_code == 405
    assert client.get(reverse("admin:generation_tuning_report", args=[row.pk])).status_code == 404
    client.logout()
    assert client.get(reverse("admin:generation_tuning_now", args=[row.pk])).status_code == 302


def test_rounds_stand_on_the_tunings_page_and_not_among_experiments(admin_client, model):
    row = begun(model)
    tunings.advance(row.pk)
    (made,) = row.rounds.all()

    assert made.name in admin_client.get(row.get_absolute_url()).content.decode()
    assert admin_client.get(made.get_absolute_url()).status_code == 200
    for name in ("generation_experiment_changelist", "studies_study_compose"):
        assert made.name not in admin_client.get(reverse(f"admin:{name}")).content.decode()
