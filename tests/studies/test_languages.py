"""A study's texts in several languages: written, checked, frozen, shown to who asks for them."""

import re

import pytest

from studies import composing, drafts, form, languages, protocol
from studies.models import FormQuestion, Participant, Translation
from tests.studies.factories import Person, document, draft

ABOUT = [
    form.Asked(1, "How old are you?", form.NUMBER),
    form.Asked(
        2, "Which do you use?", form.CHOICE, options=("A screen", "A phone"), screens_out=("A phone",)
    ),
]


def german(study, **fields) -> Translation:
    said = {
        "language": "de", "title": "Welche Blumen?", "consent": "Es sind {trials} Paare.",
        "instructions": "Bitte *wählen*.", "debrief": "Danke sehr.", "questions": "Welches Bild ist schöner?",
    }  # fmt: skip
    return Translation.objects.create(study=study, **(said | fields))


# --- how it is written ----------------------------------------------------------------------------
def test_the_questions_about_the_person_are_read_as_they_are_written():
    text = languages.about_text(ABOUT)

    assert text == "How old are you?\n\nWhich do you use?\nA screen\nA phone"
    assert languages.read_about(text) == (
        ("How old are you?", ()),
        ("Which do you use?", ("A screen", "A phone")),
    )


def test_blank_lines_and_edges_do_not_matter():
    assert languages.read_about("\n\n  Alter? \r\n \n\n\nWas?\n Schirm\n") == (
        ("Alter?", ()),
        ("Was?", ("Schirm",)),
    )
    assert languages.read_about("") == ()


def test_what_does_not_fit_is_said_at_its_field():
    wrong = languages.faults(["Eins?", "Zwei?"], "Alter?", ["One?"], ABOUT)

    assert wrong == [
        ("questions", "2 lines for 1 question: one each."),
        (
            "about",
            "1 paragraph for 2 questions about the person: one each, with an empty line between them.",
        ),
    ]
    assert languages.faults(["Eins?"], "Alter?\n\nWas?\nSchirm", ["One?"], ABOUT) == [
        ("about", "“Was?” has 1 answer, and “Which do you use?” has 2: one line each.")
    ]
    assert languages.faults(["Eins?"], "Alter?\n\nWas?\nSchirm\nTelefon", ["One?"], ABOUT) == []


# --- what people see ------------------------------------------------------------------------------
@pytest.mark.django_db
def test_it_works():
    study = draft(2, title="Which flowers?")
    german(study)
    protocol.publish(study)

    person = Person(study, headers={"accept-language": "de-AT,en;q=0.5"})

    assert "Welche Blumen?" in person.html
    assert "Es sind 2 Paare." in person.html
    person.join()
    assert "<em>wählen</em>" in person.html
    assert "Welches Bild ist schöner?" in person.html
    person.submit()
    assert re.search(r'<h1 class="question" lang="de"[^>]*>Welches Bild ist schöner\?', person.html)
    assert "Danke sehr." in person.finish().html
    assert Participant.objects.get().language == "de"


@pytest.mark.django_db
def test_who_asks_for_a_language_that_is_not_there_reads_the_studys_own():
    study = draft(2, title="Which flowers?")
    german(study)
    protocol.publish(study)

    person = Person(study, headers={"accept-language": "es"})
    person.join()

    assert "What to do" not in person.html  # the page itself speaks Spanish
    assert '<div class="text" lang="en"' in person.html
    assert Participant.objects.get().language == "en"


@pytest.mark.django_db
def test_answers_are_stored_in_the_studys_own_words():
    study = draft(2)
    asked = FormQuestion.objects.create(
        study=study,
        text="Which do you use?",
        kind="choice",
        options="A screen\nA phone",
        screens_out="A phone",
    )
    german(study, about="Was benutzen Sie?\nEinen Schirm\nEin Telefon")
    protocol.publish(study)

    stays = Person(study, headers={"accept-language": "de"}).join()
    assert "Was benutzen Sie?" in stays.html
    assert "Ein Telefon" in stays.html
    stays.submit(**{f"answer-{asked.pk}": "0"})
    goes = Person(study, headers={"accept-language": "de"}).join()
    goes.submit(**{f"answer-{asked.pk}": "1"})

    assert stays.row.answers.get().value == "A screen"
    assert goes.row.state == "screened"


@pytest.mark.django_db
def test_a_withdrawn_persons_language_is_erased():
    study = draft(2)
    german(study)
    protocol.publish(study)
    person = Person(study, headers={"accept-language": "de"}).join()
    from studies import enrolment

    enrolment.withdraw(person.row)

    assert Participant.objects.get().language == ""


@pytest.mark.django_db
def test_a_translation_that_does_not_fit_is_not_published():
    study = draft(2)
    german(study, questions="Eins?\nZwei?")

    assert drafts.problems(study) == ["Texts in Deutsch: 2 lines for 1 question: one each."]
    with pytest.raises(protocol.NotPublishable):
        protocol.publish(study)


@pytest.mark.django_db
def test_the_protocol_freezes_all_languages():
    study = draft(2)
    german(study)
    protocol.publish(study)
    Translation.objects.update(title="Anders")

    assert document(study)["texts"]["translations"]["de"]["title"] == "Welche Blumen?"
    assert "Welche Blumen?" in Person(study, headers={"accept-language": "de"}).html


@pytest.mark.django_db
def test_a_copy_speaks_the_same_languages():
    study = draft(2)
    german(study)

    assert composing.duplicate(study).translations.get().title == "Welche Blumen?"
    assert study.translations.count() == 1


@pytest.mark.django_db
def test_the_preview_shows_the_translation(admin_client):
    study = draft(2)
    german(study)

    page = admin_client.get(f"/admin/studies/study/{study.pk}/walk/de/welcome/").content.decode()

    assert "Welche Blumen?" in page


@pytest.mark.django_db
def test_the_form_proposes_the_studys_own_texts(admin_client):
    study = draft(2, title="Which flowers?")

    page = admin_client.get(f"/admin/studies/study/{study.pk}/change/").content.decode()

    empty = re.search(r'name="translations-__prefix__-title" value="([^"]*)"', page)
    assert empty and empty[1] == "Which flowers?"


@pytest.mark.django_db
def test_a_translation_into_the_studys_own_language_is_refused(admin_client):
    from tests.studies.test_admin import form as fields_of

    study = draft(2)
    address = f"/admin/studies/study/{study.pk}/change/"
    said = fields_of(admin_client.get(address)) | {
        "translations-TOTAL_FORMS": "1",
        "translations-0-language": "en",
        **{
            f"translations-0-{name}": "x"
            for name in ("title", "consent", "instructions", "debrief", "questions")
        },
    }

    page = admin_client.post(address, {k: v for k, v in said.items() if v != ""})

    assert "choose another language" in page.content.decode()
    assert not study.translations.exists()
