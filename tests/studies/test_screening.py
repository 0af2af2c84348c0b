"""Questions about the person: asked once, kept as said, and whom they screen out."""

import csv
import io
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from studies import export, form, protocol, recruitment, results
from studies.form import Asked
from studies.models import Answer, Mode, Participant, Seat, Study
from tests.studies.factories import Person, document, draft

pytestmark = pytest.mark.django_db

CHOICE = Asked(1, "Screen?", "choice", ("Phone", "Laptop", "Other"), screens_out=("Other",))
NUMBER = Asked(2, "Age?", "number", least=Decimal(18), most=Decimal("99.5"))
TEXT = Asked(3, "Job?", "text", required=False)


def asking(pairs: int = 3, **fields) -> Study:
    """A published study with a question of each kind."""
    study = draft(pairs, **fields)
    ask(study)
    protocol.publish(study)
    study.refresh_from_db()
    return study


def ask(study: Study) -> None:
    for position, asked in enumerate((CHOICE, NUMBER, TEXT)):
        study.form_questions.create(
            position=position, text=asked.text, kind=asked.kind, options="\n".join(asked.options),
            screens_out="\n".join(asked.screens_out), least=asked.least, most=asked.most,
            required=asked.required,
        )  # fmt: skip


def answers(study: Study, screen: str = "1", age: str = "30", job: str = "") -> dict[str, str]:
    keys = study.form_questions.values_list("pk", flat=True)
    return {f"answer-{key}": value for key, value in zip(keys, (screen, age, job), strict=True)}


def people(study: Study, *modes: str) -> list[dict[str, str]]:
    content = b"".join(export.people_csv(study, modes or (Mode.LIVE,))).decode()
    return list(csv.DictReader(io.StringIO(content)))


def test_they_are_asked_between_consent_and_instructions():
    study = asking()
    person = Person(study).join()

    assert "About you" in person.html
    person.submit(**answers(study, job="painter"))
    assert "What to do" in person.html
    person.submit()
    person.finish()
    assert person.code == person.row.code
    assert list(person.row.answers.values_list("value", "mode")) == [
        ("Laptop", "live"), ("30", "live"), ("painter", "live")
    ]  # fmt: skip


def test_a_study_without_questions_asks_none():
    study = draft(3)
    protocol.publish(study)

    assert "What to do" in Person(study).join().html


@pytest.mark.parametrize("page", ["trial/", "instructions/", ""])
def test_nobody_gets_past_them(page):
    study = asking()
    person = Person(study).join()

    person.client.post(f"/s/{study.slug}/begin/", person.fields())

    assert "About you" in person.client.get(f"/s/{study.slug}/{page}", follow=True).content.decode()
    assert person.row.started_at is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"screen": ""}, "Please answer this question."),
        ({"screen": "3"}, "Please answer this question."),
        ({"screen": "Laptop"}, "Please answer this question."),
        ({"screen": "-1"}, "Please answer this question."),
        ({"age": ""}, "Please answer this question."),
        ({"age": "about thirty"}, "Please write a number in digits, such as 25."),
        ({"age": "9" * 5000}, "Please write a number in digits, such as 25."),
        ({"age": "1e9"}, "Please write a number in digits, such as 25."),
        ({"age": "NaN"}, "Please write a number in digits, such as 25."),
        ({"age": "3\x000"}, "This text can&#x27;t be read."),
        ({"job": "x" * 501}, "Please write at most 500 characters."),
        ({"job": "a\x00b"}, "This text can&#x27;t be read."),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_stored(said, words):
    study = asking()
    person = Person(study).join()

    person.submit(**answers(study, **said))

    assert person.page.status_code == 400
    assert words in person.html.replace("can't", "can&#x27;t")
    assert "1 question needs another look." in person.html
    assert not Answer.objects.exists()


def test_what_was_right_is_kept_on_the_page_when_something_else_was_wrong():
    study = asking()
    person = Person(study).join()

    person.submit(**answers(study, age="", job="<b>painter</b>"))

    assert 'value="1" checked' in person.html
    assert 'value="&lt;b&gt;painter&lt;/b&gt;"' in person.html


@pytest.mark.parametrize(
    "said", [{"screen": "2"}, {"age": "17"}, {"age": "99.6"}, {"age": "-5"}, {"age": "17,999"}]
)
def test_who_is_screened_out_gets_a_code_of_their_own_and_the_seat_opens_at_once(said):
    study = asking(people=1, blind=False)
    person = Person(study).join()

    person.submit(**answers(study, **said))

    assert person.page.status_code == 200
    assert "ends here for you" in person.html
    row = person.row
    assert (row.state, row.code, row.seat) == ("screened", person.code, None)
    assert not row.trials.exists()
    assert Seat.objects.get().holder is None
    assert results.counts(study).screened == 1
    other = Person(study).join()
    other.submit(**answers(study))
    other.submit()
    assert other.finish().code != person.code


@pytest.mark.parametrize("said", [{"age": "18"}, {"age": "99,5"}, {"age": "٣٠"}, {"age": " 18.000 "}])
def test_the_bounds_themselves_stay_in(said):
    study = asking()
    person = Person(study).join()

    person.submit(**answers(study, **said))

    assert "What to do" in person.html


def test_the_code_and_the_way_back_for_screened_out_are_the_researchers():
    study = asking(entry="prolific", code_screened="NOFIT", return_url="https://site.invalid/?cc={code}")
    person = Person(study, "?PROLIFIC_PID=p1").join()

    person.submit(**answers(study, screen="2"))

    assert person.code == "NOFIT"
    assert 'href="https://site.invalid/?cc=NOFIT"' in person.html


def test_who_is_screened_out_does_not_come_in_again_by_the_same_id_even_after_taking_it_back():
    study = asking(entry="prolific")
    query = "?PROLIFIC_PID=p1"
    person = Person(study, query).join()
    person.submit(**answers(study, screen="2"))

    again = Person(study, query).join()
    assert "ends here for you" in again.html
    assert again.client.get(f"/s/{study.slug}/trial/", follow=True).status_code == 200
    person.page = person.client.get(f"/s/{study.slug}/leave/")
    assert "3 answers of yours will be erased" in person.html
    person.submit()
    assert not Answer.objects.exists()
    assert "p1" not in Participant.objects.get().external_id
    assert "This link has been used" in Person(study, query).join().html
    assert Participant.objects.count() == 1


def test_who_is_screened_out_does_not_come_in_again_by_the_same_browser():
    study = asking()
    person = Person(study).join()
    person.submit(**answers(study, screen="2"))
    person.page = person.client.get(f"/s/{study.slug}/leave/")
    person.submit()

    person.page = person.client.get(person.home)
    person.join()

    assert Participant.objects.count() == 1


def test_a_vote_of_somebody_screened_out_is_refused():
    study = asking()
    person = Person(study).join()
    fields = person.fields()
    token = person.row.trials.get(position=0).token
    person.submit(**answers(study, screen="2"))

    answer = person.client.post(f"/s/{study.slug}/vote/{token}/", fields | {"choice": "left"})

    assert answer.status_code == 404
    assert not person.row.votes.exists()


def test_the_same_answers_twice_are_one_answer():
    study = asking()
    person = Person(study).join()
    said, action = person.fields() | answers(study), person.action

    first = person.client.post(action, said)
    again = person.client.post(action, said | answers(study, age="30.0"))

    assert (first.status_code, again.status_code, first.url) == (303, 303, again.url)
    assert Answer.objects.count() == 3


@pytest.mark.parametrize("later", [{"age": "31"}, {"screen": ""}, {"screen": "2"}])
def test_different_answers_afterwards_are_refused_and_change_nothing(later):
    study = asking()
    person = Person(study).join()
    said, action = person.fields(), person.action
    person.client.post(action, said | answers(study))

    refused = person.client.post(action, said | answers(study, **later))

    assert refused.status_code == 409
    assert "Questions already answered" in refused.content.decode()
    assert list(Answer.objects.values_list("value", flat=True)) == ["Laptop", "30", ""]
    assert person.row.state == "active"


def test_the_database_lets_nobody_change_or_delete_an_answer():
    study = asking()
    person = Person(study).join()
    person.submit(**answers(study))

    for change in (lambda rows: rows.update(value="x"), lambda rows: rows.delete()):
        with pytest.raises(DatabaseError, match="only ever added"), transaction.atomic():
            change(Answer.objects.all())


def test_withdrawing_erases_them():
    study = asking()
    person = Person(study).join()
    person.submit(**answers(study))
    person.page = person.client.get(f"/s/{study.slug}/leave/")

    person.submit()

    assert not Answer.objects.exists()
    assert people(study)[0]["answer_1"] == ""


def test_they_are_frozen_in_the_protocol():
    study = asking()

    asked = document(study)["texts"]["form"]

    assert [(question["text"], question["kind"]) for question in asked] == [
        ("Screen?", "choice"), ("Age?", "number"), ("Job?", "text")
    ]  # fmt: skip
    assert asked[0]["screens_out"] == ["Other"]
    assert (asked[1]["least"], asked[1]["most"]) == ("18.000", "99.500")


def test_a_change_in_the_draft_changes_nothing_for_who_takes_part():
    study = asking()
    study.form_questions.update(text="Something else?", screens_out="Phone\nLaptop\nOther")
    person = Person(study).join()

    assert "Screen?" in person.html
    person.submit(**answers(study))
    assert "What to do" in person.html


def test_the_people_file_holds_the_answers_with_their_mode_and_the_codebook_the_questions():
    study = asking()
    (link,) = recruitment.make_links(study, 1, Mode.PILOT)
    for query, said in (("", {"job": "=1+1"}), (f"?link={link.token}", {"age": "40.50"})):
        Person(study, query).join().submit(**answers(study, **said))
    Person(study).join().submit(**answers(study, screen="2"))

    rows = people(study, Mode.LIVE, Mode.PILOT)
    codebook = b"".join(export.codebook_csv(study)).decode()

    assert [
        (row["mode"], row["state"], row["answer_1"], row["answer_2"], row["answer_3"]) for row in rows
    ] == [
        ("live", "active", "Laptop", "30", "'=1+1"),
        ("pilot", "active", "Laptop", "40.5", ""),
        ("live", "screened", "Other", "30", ""),
    ]
    assert len(people(study)) == 2
    assert "participants,answer_2,number,Age?\n" in codebook
    assert "votes,choice,text," in codebook


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        (Asked(0, "?", "choice", ("one",)), "options", "at least two lines"),
        (Asked(0, "?", "choice", ("a", "b", "a")), "options", "“a” stands there twice"),
        (Asked(0, "?", "choice", ("a", "b" * 501)), "options", "has 501 letters"),
        (Asked(0, "?", "choice", ("a", "b"), ("c",)), "screens_out", "“c” is none of the answers"),
        (Asked(0, "?", "choice", ("a", "b"), ("b", "a")), "screens_out", "nobody could take part"),
        (Asked(0, "?", "number", least=Decimal(5), most=Decimal(4)), "most", "at least 5 and at most 4"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_with_its_field(asked, field, words):
    ((found, sentence),) = form.faults(asked)

    assert found == field
    assert words in sentence


@pytest.mark.parametrize("asked", [CHOICE, NUMBER, TEXT])
def test_a_question_in_order_has_no_fault_and_an_answer_that_stays_in(asked):
    answers, wrong = form.read([asked], {asked.name: form.staying(asked)})

    assert form.faults(asked) == []
    assert wrong == {}
    assert not asked.screens(answers[asked.key])


def test_a_lone_surrogate_can_not_be_read():
    assert form.read([TEXT], {TEXT.name: "a\ud800"}) == ({}, {3: "unreadable"})


def test_publishing_with_a_question_that_cannot_be_asked_is_refused():
    study = draft(3)
    study.form_questions.create(text="Screen?", options="one")

    with pytest.raises(protocol.NotPublishable, match="“Screen\\?”: There are fewer than two answers"):
        protocol.publish(study)
