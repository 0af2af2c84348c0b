import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from generation.models import Experiment, ImageModel

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """The experiments whose workers were told; the tests' broker gets no message that nobody takes."""
    told = []
    monkeypatch.setattr("generation.tasks.start", told.append)
    return told


def test_it_works(started, capsys):
    call_command("experiment", "ablation", "--items", "10")

    made = Experiment.objects.get()
    assert started == [made]
    assert made.pairs.count() == 0
    assert made.items.count() == 10
    said = capsys.readouterr().out
    assert "80 images in 70 pairs" in said
    assert made.get_absolute_url() in said


def test_a_dry_run_changes_nothing(started, capsys):
    call_command("experiment", "paper", "--dry-run")

    assert "3,200 images in 1,600 pairs" in capsys.readouterr().out
    assert not Experiment.objects.exists()
    assert not ImageModel.objects.exists()
    assert not started


def test_a_model_is_found_by_name_or_source(capsys):
    call_command("experiment", "noise", "--items", "1", "--model", "starter/ddpm-flowers-32")
    call_command(
        "experiment", "noise", "--items", "1", "--model", "starter/ddpm-flowers-32", "--name", "again"
    )

    assert ImageModel.objects.count() == 1
    assert Experiment.objects.filter(name="again").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--items", "0"], "items = 0"),
        (["--items", "10000000"], "items = 10000000"),
        (["--model", "/no/such/folder"], "no such folder"),
        (["--model", "org/name"], "added in the admin"),
        (["--prompts", "/no/such/file"], "No such file or directory"),
        (["--prompts", ""], "Is a directory"),
        (["--prompts", "/dev/null"], "it has none"),
        (["--name", "x" * 101], "1 to 100"),
        (["--name", "a\nb"], "1 to 100"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(more, says):
    with pytest.raises(CommandError) as refused:
        call_command("experiment", "noise", *more)

    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not Experiment.objects.exists()
    assert not ImageModel.objects.exists()


def test_a_name_is_taken_once():
    call_command("experiment", "noise", "--items", "1", "--name", "mine")

    with pytest.raises(CommandError, match="give another --name"):
        call_command("experiment", "noise", "--items", "1", "--name", "mine")


def test_an_unknown_preset_is_a_usage_error():
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(["manage.py", "experiment", "everything"])

    assert caught.value.code == 2
