"""A study's report is one file that says what its results page says."""

import re
from html.parser import HTMLParser

import pytest
from django.core.management import call_command

from generation.models import Pair, Score
from studies import export, latest, study_report
from studies.models import Study
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def voted(study: Study, people: int = 4) -> Study:
    for number in range(people):
        person = Person(study).start()
        for step in range(50):
            if 'id="trial"' not in person.html:
                break
            person.vote(("left", "right", "tie")[(number + step) % 3])
    return study


def words(html: str) -> str:
    """The text of a page, with plain spaces."""
    parts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            parts.append(data)

    Reader().feed(html)
    return re.sub(r"\s+", " ", " ".join(parts))


def test_it_works():
    study = voted(published(experiment=experiment(5, steps=(10, 20), treatments=("se2p", "naive")), people=4,
                            comparisons=5, repeats=1, blind=False))  # fmt: skip
    for pair in Pair.objects.all():
        Score.objects.update_or_create(
            image=pair.baseline, metric="sharpness", version="1", defaults={"value": 0.5}
        )
        Score.objects.create(
            image=pair.treatment, metric="sharpness", version="1", value=0.5 + pair.pk / 1000
        )

    html = study_report.html(study)

    text, found = words(html), latest.of(study).found
    for block in found["analysis"]["blocks"].values():
        for treatment, p in block["preference"].items():
            share = f"{100 * p['share']:.1f} % for {treatment} against baseline"
            assert share in text
            assert f"{p['low']:.4f}" in text
    for heading in ("What was found", "Between comparisons", "Sides and drop-out", "Methods",
                    "Metrics beside votes: se2p", "Krippendorff's α", "repeated trials counted"):  # fmt: skip
        assert heading in text
    assert html.count("<svg") == len(latest.of(study).figures)
    assert "None" not in text


def test_it_stands_alone(admin_client):
    study = voted(published(3, people=2, blind=False), people=2)

    answer = admin_client.get(f"/admin/studies/study/{study.pk}/files/report.html/")

    html = b"".join(answer.streaming_content).decode()
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert not re.search(r'(src|href)="(?!#)', html)
    assert "<script" not in html


def test_several_versions_are_named():
    from studies import protocol, running

    study = voted(published(3, people=3, blind=False), people=1)
    study = running.change_state(study, Study.State.PAUSED)
    protocol.publish(study)
    study.refresh_from_db()
    voted(study, people=1)

    assert "The votes of protocol versions 1 and 2 are taken together." in words(study_report.html(study))


def test_without_votes_it_says_so():
    assert "There is no figure yet: nobody has voted yet." in words(
        study_report.html(published(2, blind=False))
    )
    assert "the study is a draft" in words(study_report.html(draft(2, blind=False)))


def test_hidden_preferences_are_in_no_report(admin_client):
    study = voted(published(3, people=2), people=2)

    with pytest.raises(export.Blind):
        study_report.html(study)
    answer = admin_client.get(f"/admin/studies/study/{study.pk}/files/report.html/", follow=True)
    assert "Preferences are hidden until the study is closed." in answer.content.decode()


def test_results_that_a_worker_still_computes_are_waited_for(monkeypatch):
    monkeypatch.setattr(latest, "SMALL", 0)
    monkeypatch.setattr(latest, "_ask", lambda study: None)

    with pytest.raises(export.NotExported, match="being computed"):
        study_report.html(voted(published(2, people=1, blind=False), people=1))


def test_the_command_writes_it(tmp_path):
    study = voted(published(2, people=1, blind=False), people=1)

    call_command("export", study.slug, "report", out=tmp_path / "report.html")

    assert "Results of" in (tmp_path / "report.html").read_text()
