"""Simulated participants act over HTTP, prefer what they are told to, and are never counted as people."""

import pytest
from django.core.management import CommandError, call_command

from studies import chain, export, results
from studies.models import Mode, Participant, Vote
from tests.studies.factories import draft, published


@pytest.mark.django_db(transaction=True)
def test_it_works(live_server, capsys):
    study = published(4, people=2, blind=False)

    call_command(
        "bots", study.slug, participants=4, preference=0.99, sd_participant=0.0, sd_item=0.0, ties=0.0,
        double_submit=True, workers=2, url=live_server.url,
    )  # fmt: skip

    assert capsys.readouterr().out == "4 bots: 4 finished; 16 votes\n"
    assert {person.mode for person in Participant.objects.all()} == {"bot"}
    chosen = [vote.trial.left if vote.choice == "left" else vote.trial.right for vote in Vote.objects.all()]
    assert chosen.count("treatment") >= 13
    assert results.counts(study).finished == 0
    assert results.compute(study)["analysis"] is None
    assert b"".join(export.votes_csv(study, [Mode.BOT])).count(b"\n") == 17
    assert list(chain.faults(study)) == []


@pytest.mark.django_db(transaction=True)
def test_some_drop_out(live_server, capsys):
    study = published(3, people=2)

    call_command("bots", study.slug, participants=3, dropout=1.0, workers=1, seed=3, url=live_server.url)

    assert "dropped out" in capsys.readouterr().out
    assert Participant.objects.filter(state="active").exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preference": 1.5}, "--preference is 1.5"),
        ({"dropout": -1}, "--dropout is -1"),
        ({"participants": 0}, "at least 1"),
        ({"url": "http://127.0.0.1:9"}, "No site answers"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_value(options, message):
    study = published(2)

    with pytest.raises(CommandError, match=message):
        call_command("bots", study.slug, **options)


@pytest.mark.django_db
def test_a_draft_has_no_seats_for_bots():
    study = draft(2)

    with pytest.raises(CommandError, match="is a draft"):
        call_command("bots", study.slug)
