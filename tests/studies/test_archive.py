"""One zip of everything: whole by its manifest, and its scripts give the figures of the results page."""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from generation.models import Pair, Score
from studies import archive, export, latest, protocol, recruitment, running
from studies.models import Mode, Participant, Study
from studies.statistics import archive as analysis_of_archive
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db
# Runs a script with the standard library and the packages, and nothing of this repository.
ALONE = (
    "import runpy, sys; sys.path = [p for p in sys.path if p] + [sys.argv[2]]; script = sys.argv[1]; "
    "sys.argv = [script]; runpy.run_path(script, run_name='__main__'); "
    "assert not {'django', 'psycopg', 'generation'} & set(sys.modules)"
)


def voted(study: Study) -> Study:
    """People choose left, right and no preference in turn; one is left out, one leaves, one is a pilot."""
    for number in range(study.people - 1):
        person = Person(study).start()
        for step in range(50):
            if 'id="trial"' not in person.html:
                break
            person.vote(("left", "right", "tie", "left")[(number * 7 + step) % 4])
    Person(study).start().vote()
    Participant.objects.filter(pk=Participant.objects.first().pk).update(state="excluded", why="too fast")
    (link,) = recruitment.make_links(study, 1, Mode.PILOT)
    Person(study, f"?link={link.token}").start().finish()
    for pair in Pair.objects.all():
        # Every pair has another gain, so that its rank tells.
        for image, value in ((pair.baseline, 0.5), (pair.treatment, 0.5 + (pair.pk * 37 % 11 - 4) / 10)):
            Score.objects.update_or_create(
                image=image, metric="sharpness", version="1", defaults={"value": value}
            )
            Score.objects.update_or_create(
                image=image, metric="niqe", version="1", defaults={"value": -value}
            )
        Score.objects.create(pair=pair, metric="ssim", version="1", value=1 / (1 + pair.pk % 5))
    return study


def several(*, shared: bool) -> Study:
    """Two numbers of steps, three conditions, classes, repeats, practice, catch trials, two questions."""
    made = experiment(6, steps=(10, 20), treatments=("se2p", "naive"), labels=3, shared=shared)
    made.conditions.filter(name="naive").update(name="=naive")
    return published(
        experiment=made, people=4, comparisons=4, practice=1, catches=1, repeats=1, blind=False,
        questions=("Better?", "'=Sharper, or \"not\"?"),
    )  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["seeds of their own", "shared seeds"])
def unpacked(request, django_db_setup, django_db_blocker, tmp_path_factory):
    """The archive of such a study, unpacked once, with the figures of its page."""
    from django.db import transaction

    folder = tmp_path_factory.mktemp("archive")
    with django_db_blocker.unblock(), transaction.atomic():
        study = voted(several(shared=request.param))
        page = latest.of(study).found
        content = b"".join(archive.stream(study))
        transaction.set_rollback(True)
    with zipfile.ZipFile(io.BytesIO(content)) as zip_file:
        assert zip_file.testzip() is None
        zip_file.extractall(folder)
    (inside,) = folder.iterdir()
    return inside, page, content


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)


def analyse(folder: Path) -> subprocess.CompletedProcess[str]:
    packages = sysconfig.get_paths()["purelib"]
    return run(sys.executable, "-I", "-S", "-c", ALONE, str(folder / "analyse.py"), packages)


def test_it_works(unpacked):
    folder, _, _ = unpacked

    said = json.loads((folder / "manifest.json").read_text())

    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {*said["files"], "manifest.json"}
    for name, entry in said["files"].items():
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert said["files"]["votes.csv"]["rows"] > 80
    versions = json.loads((folder / "protocol.json").read_text())["versions"]
    assert said["protocols"] == [{"version": 1, "sha256": versions[0]["sha256"]}]


def test_the_script_gives_every_figure_of_the_page_without_this_repository(unpacked):
    folder, page, _ = unpacked

    done = analyse(folder)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["analysis"]["blocks"]) == 4
    assert any("=naive" in block["preference"] for block in found["analysis"]["blocks"].values())
    assert found["metrics"][0]["metrics"]["sharpness"]["tau"]["low"] is not None
    assert found["dropout"]["left"] == page["dropout"]["left"]
    assert close(json.loads(json.dumps(page)), found) == []
    assert float(done.stderr.split()[-1]) <= 1e-9


def close(one, other, where: str = "") -> list[str]:
    """Where two objects differ by more than 1e-9."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {set(one) ^ set(other)}"]
        return [at for key in one for at in close(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)}"]
        return [
            at for i, pair in enumerate(zip(one, other, strict=True)) for at in close(*pair, f"{where}/{i}")
        ]
    same = one == other or (isinstance(one, float) and one == pytest.approx(other, rel=1e-9, abs=1e-9))
    return [] if same else [f"{where}: {one} and {other}"]


def test_the_script_says_how_far_a_changed_table_is_from_the_page(unpacked, tmp_path):
    folder, _, _ = unpacked
    shutil.copytree(folder, tmp_path / "copy")
    votes = tmp_path / "copy" / "votes.csv"
    head, rows = votes.read_text().split("\n", 1)
    votes.write_text(f"{head}\n{rows.replace(',left,', ',tie,')}")

    done = analyse(tmp_path / "copy")

    assert done.returncode == 0, done.stderr
    assert float(done.stderr.split()[-1]) > 1e-3


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_the_r_script_gives_the_shares_and_clustered_intervals(unpacked):
    folder, page, _ = unpacked

    done = run("Rscript", "--vanilla", str(folder / "analyse.R"))

    assert done.returncode == 0, done.stderr
    import csv

    found = {(row["block"], row["treatment"]): row for row in csv.DictReader(io.StringIO(done.stdout))}
    expected = {
        (name, treatment): p
        for name, block in page["analysis"]["blocks"].items()
        for treatment, p in block["preference"].items()
    }
    assert found.keys() == expected.keys()
    for key, p in expected.items():
        for name in ("share", "low", "high", "p"):
            assert float(found[key][name]) == pytest.approx(p[name], abs=1e-9)
        assert (int(found[key]["votes"]), int(found[key]["seeds"])) == (p["n_votes"], p["n_seeds"])


def test_an_archive_that_was_cut_off_can_not_be_opened(unpacked):
    _, _, content = unpacked

    for cut in (len(content) // 2, len(content) - 10):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(content[:cut]))


def test_there_is_none_while_preferences_are_hidden_or_nothing_is_published():
    with pytest.raises(export.Blind):
        archive.stream(published(2))
    with pytest.raises(export.NotExported, match="there is an archive once it is published"):
        archive.stream(draft(2, blind=False))


def test_a_study_without_a_vote_has_one_that_says_so(tmp_path):
    study = running.change_state(published(2), Study.State.CLOSED)
    zipfile.ZipFile(io.BytesIO(b"".join(archive.stream(study)))).extractall(tmp_path)

    done = analyse(tmp_path / study.slug)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reason"] == "nobody has voted yet"


def test_the_results_that_are_kept_are_taken_where_nothing_changed(monkeypatch):
    study = published(2, people=1, blind=False)
    Person(study).start().finish()
    kept = latest.of(study).found
    monkeypatch.setattr(archive.results, "compute", lambda study: pytest.fail("computed again"))

    with zipfile.ZipFile(io.BytesIO(b"".join(archive.stream(study)))) as zip_file:
        assert json.loads(zip_file.read(f"{study.slug}/results.json")) == kept


def test_several_versions_of_the_protocol_are_all_in_it():
    study = published(2, people=2, blind=False)
    study = running.change_state(study, Study.State.PAUSED)
    study.margin = "0.10"
    study.save()
    protocol.publish(study)

    with zipfile.ZipFile(io.BytesIO(b"".join(archive.stream(study)))) as zip_file:
        said = json.loads(zip_file.read(f"{study.slug}/manifest.json"))

    assert [entry["version"] for entry in said["protocols"]] == [1, 2]
    assert said["results"]["margin"] == 0.1


def test_the_command_writes_it(tmp_path):
    study = published(2, blind=False)

    call_command("export", study.slug, "archive", out=tmp_path / "study.zip")

    assert zipfile.is_zipfile(tmp_path / "study.zip")
    with pytest.raises(CommandError, match="The archive is zip; leave --format out"):
        call_command("export", study.slug, "archive", format="csv")


def test_text_that_a_spreadsheet_would_run_is_read_as_it_was_typed():
    """Also where a carriage return stands in it, which many take for the end of a row."""
    kept = b"id,text\na,\"'=1\rb\"\nc,'d\n"

    read = analysis_of_archive._unquoted(kept).decode()
    rows = list(csv.reader(io.StringIO(read, newline="")))

    assert rows == [["id", "text"], ["a", "=1\rb"], ["c", "'d"]]
