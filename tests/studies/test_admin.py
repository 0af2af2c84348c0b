"""The researcher's pages: from the form to the published study, its results and its end."""

import re
from urllib.parse import urlencode

import pytest
from django.forms import ModelForm

from studies.models import FormQuestion, Study
from tests.studies.factories import Person, draft, experiment, published

pytestmark = pytest.mark.django_db


def form(page) -> dict[str, str]:
    """Every field of the page's main form as a browser would send it."""
    context = page.context
    said = {}
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for one in forms:
        for bound in one:
            value = bound.value()
            said[bound.html_name] = (
                "" if value is None or value is False else "on" if value is True else str(value)
            )
    return {name: value for name, value in said.items() if not name.endswith("-DELETE")}


def add(admin_client, **more):
    page = admin_client.get("/admin/studies/study/add/")
    said = form(page) | {"title": "Flowers", "slug": "flowers", "blocks-0-comparisons": "3"} | more
    return admin_client.post("/admin/studies/study/add/", {k: v for k, v in said.items() if v != ""})


def errors(page) -> str:
    return re.sub(r"\s+", " ", page.content.decode())


def test_a_study_is_made_published_answered_and_read(admin_client):
    made = experiment(4)
    pair = made.pairs.first()
    choice = f"{made.pk}:{pair.item.model_id}:20:{pair.treatment.condition_id}"

    answer = add(admin_client, **{"blocks-0-comparison": choice})
    study = Study.objects.get()
    assert answer.url == f"/admin/studies/study/{study.pk}/change/"
    said = admin_client.get(f"/admin/studies/study/{study.pk}/publish/")
    assert "33 seats are drawn, with 3 trials each" in said.content.decode()
    admin_client.post(f"/admin/studies/study/{study.pk}/publish/")
    Person(study).start().finish()
    hidden = admin_client.get(f"/admin/studies/study/{study.pk}/results/").content.decode()
    assert "Preferences are hidden" in hidden
    assert admin_client.get(f"/admin/studies/study/{study.pk}/votes.csv/").status_code == 302
    admin_client.post(f"/admin/studies/study/{study.pk}/unblind/", {"why": "trying it out"})

    shown = admin_client.get(f"/admin/studies/study/{study.pk}/results/").content.decode()
    votes = b"".join(admin_client.get(f"/admin/studies/study/{study.pk}/votes.csv/").streaming_content)
    assert "items like these" in shown
    assert "Votes as CSV" in shown
    assert votes.startswith(b"participant,item,left,right,choice")
    assert votes.count(b"\n") == 4
    log = admin_client.get("/admin/studies/auditentry/").content.decode()
    assert "unblinded" in log and "trying it out" in log


def test_all_comparisons_of_an_experiment_become_a_block_each(admin_client):
    made = experiment(3, steps=(10, 20), treatments=("se2p", "naive"))

    add(admin_client, **{"blocks-0-comparison": f"{made.pk}:all"})

    blocks = Study.objects.get().blocks.all()
    assert [(b.position, b.steps, b.treatment.name) for b in blocks] == [
        (0, 10, "se2p"),
        (1, 10, "naive"),
        (2, 20, "se2p"),
        (3, 20, "naive"),
    ]


def test_more_comparisons_than_pairs_are_refused_at_the_field(admin_client):
    made = experiment(3, steps=(10, 20))

    page = add(admin_client, **{"blocks-0-comparison": f"{made.pk}:all", "blocks-0-comparisons": "25"})

    assert "ask for at most 3." in errors(page)
    assert not Study.objects.exists()


def test_a_study_without_a_comparison_is_refused(admin_client):
    page = add(admin_client)

    assert page.status_code == 200
    assert "comparison" in errors(page)
    assert not Study.objects.exists()


def test_a_rule_about_catch_trials_without_any_is_refused_at_the_field(admin_client):
    made = experiment(3, steps=(10, 20))

    page = add(admin_client, **{"blocks-0-comparison": f"{made.pk}:all", "min_catch_share": "0.8"})

    assert "This rule needs catch trials" in errors(page)


def test_a_leaking_study_is_refused_with_the_list(admin_client):
    study = draft(experiment=experiment(3, treatment_size=48))

    page = admin_client.post(f"/admin/studies/study/{study.pk}/publish/")

    assert page.status_code == 409
    assert "baseline 32×32, treatment 48×48" in page.content.decode()


def test_a_published_study_is_shown_and_not_changed(admin_client):
    study = published(3)

    page = admin_client.get(f"/admin/studies/study/{study.pk}/change/")
    answer = admin_client.post(f"/admin/studies/study/{study.pk}/change/", {"title": "Another"})

    assert page.status_code == 200
    assert answer.status_code == 403
    assert admin_client.get(f"/admin/studies/study/{study.pk}/delete/").status_code == 403


def test_closing_says_how_many_are_under_way_and_refuses_their_next_answer(admin_client):
    study = published(3)
    person = Person(study).start()

    asked = admin_client.get(f"/admin/studies/study/{study.pk}/close/").content.decode()
    admin_client.post(f"/admin/studies/study/{study.pk}/close/")

    assert "<strong>1</strong> is under way" in asked
    assert person.post("left").status_code == 410
    assert study.checkpoints.count() == 1


def test_the_list_needs_as_many_queries_for_five_studies_as_for_one(
    admin_client, django_assert_max_num_queries
):
    for _ in range(5):
        draft(2)

    with django_assert_max_num_queries(12):
        assert admin_client.get("/admin/studies/study/").status_code == 200


def test_somebody_without_permission_sees_nothing(client, django_user_model):
    study = published(2)
    client.force_login(django_user_model.objects.create_user("r", is_staff=True))

    for page in ("change", "publish", "close", "results", "votes.csv"):
        assert client.get(f"/admin/studies/study/{study.pk}/{page}/").status_code == 403


def test_links_are_made_listed_and_lead_in(admin_client):
    study = published(2, entry="links", people=2)

    admin_client.post(
        f"/admin/studies/study/{study.pk}/recruit/", {"count": "2", "mode": "live", "beside": "0"}
    )
    rows = b"".join(admin_client.get(f"/admin/studies/study/{study.pk}/links.csv/").streaming_content)

    addresses = [line.split(",")[0] for line in rows.decode().splitlines()[1:]]
    assert len(addresses) == 2
    assert Person(study, addresses[0].split(study.get_absolute_url())[1]).start().finish().code


def test_a_form_for_links_that_is_sent_twice_makes_them_once(admin_client):
    study = published(2, entry="links", people=2)
    address = f"/admin/studies/study/{study.pk}/recruit/"
    page = admin_client.get(address).content.decode()
    form = {"count": "2", "mode": "live", "beside": re.search(r'name="beside" value="(\d+)"', page)[1]}

    first, second = (admin_client.post(address, form) for _ in range(2))
    made = study.invitations.count()
    again = form | {"beside": re.search(r'name="beside" value="(\d+)"', second.content.decode())[1]}
    admin_client.post(address, again)

    assert (first.status_code, second.status_code) == (302, 400)
    assert "there are 2 now" in second.content.decode()
    assert (made, study.invitations.count()) == (2, 4)


def test_too_many_links_are_refused_at_the_field(admin_client):
    study = published(2)

    page = admin_client.post(
        f"/admin/studies/study/{study.pk}/recruit/", {"count": "10000000", "mode": "live", "beside": "0"}
    )

    assert page.status_code == 400
    assert "less than or equal to 10000" in page.content.decode()


def test_prolific_is_given_the_address_with_its_own_placeholders(admin_client):
    study = published(2, entry="prolific")

    page = admin_client.get(f"/admin/studies/study/{study.pk}/recruit/").content.decode()

    assert "?PROLIFIC_PID={{%PROLIFIC_PID%}}&amp;STUDY_ID={{%STUDY_ID%}}" in page


def test_a_draft_can_be_deleted_with_its_log(admin_client):
    study = draft(2)

    admin_client.post(f"/admin/studies/study/{study.pk}/delete/", {"post": "yes"})

    assert not Study.objects.exists()


@pytest.mark.parametrize("page", ["recruit", "preview"])
def test_a_draft_invites_nobody_yet(admin_client, page):
    study = draft(2)

    answer = admin_client.post(
        f"/admin/studies/study/{study.pk}/{page}/", {"count": "1", "mode": "pilot"}, follow=True
    )

    # The preview of a draft needs no seat.
    assert (
        "publish the study first" if page == "recruit" else "nothing is stored"
    ) in answer.content.decode()
    assert not study.invitations.exists()


def test_a_preview_leads_into_the_study(admin_client):
    study = published(2)

    answer = admin_client.post(f"/admin/studies/study/{study.pk}/preview/", follow=True)

    assert "I agree and take part" in answer.content.decode()


def choice(made) -> str:
    pair = made.pairs.first()
    return f"{made.pk}:{pair.item.model_id}:20:{pair.treatment.condition_id}"


def test_two_submits_at_once_make_one_study_and_say_that_its_address_is_taken(admin_client, monkeypatch):
    made = experiment(4)
    honest, looks = ModelForm.validate_unique, []

    def too_early(self):
        # The check ran before the other submit was stored.
        if isinstance(self.instance, Study):
            looks.append(self)
        if len(looks) != 1:
            honest(self)

    draft(2, slug="flowers")
    monkeypatch.setattr(ModelForm, "validate_unique", too_early)

    page = add(admin_client, **{"blocks-0-comparison": choice(made)})

    assert page.status_code == 200
    assert "Study with this Address already exists." in errors(page)
    assert Study.objects.count() == 1


ABOUT = {"form_questions-TOTAL_FORMS": "1"} | {
    f"form_questions-0-{name}": value
    for name, value in {
        "text": "How old are you?", "kind": "number", "options": "", "screens_out": "", "least": "18",
        "most": "", "required": "on",
    }.items()
}  # fmt: skip


def test_a_question_about_the_person_is_asked(admin_client):
    made = experiment(4)

    add(admin_client, **ABOUT, **{"blocks-0-comparison": choice(made)})

    (asked,) = FormQuestion.objects.all()
    assert (asked.text, asked.kind, asked.least, asked.position) == ("How old are you?", "number", 18, 0)


def test_what_is_wrong_with_a_question_about_the_person_stands_at_its_field(admin_client):
    made = experiment(4)
    wrong = ABOUT | {"form_questions-0-kind": "choice", "form_questions-0-options": "one"}

    page = add(admin_client, **wrong, **{"blocks-0-comparison": choice(made)})

    assert "There are fewer than two answers: write at least two lines." in errors(page)
    assert not Study.objects.exists()


STRANGE = ("9" * 5000, "-" + "9" * 30, "1e400", "a\0b", "\ud800", "NaN")


def test_strange_values_in_the_fields_of_a_study_are_errors_of_the_form(admin_client):
    made = experiment(4)
    said = form(admin_client.get("/admin/studies/study/add/")) | ABOUT | {
        "title": "Flowers", "blocks-0-comparison": choice(made), "blocks-0-comparisons": "3"
    }  # fmt: skip
    managed = [name for name in said if name.endswith("_FORMS")]
    texts = ["title", "consent", "instructions", "debrief", "contact", "questions-0-text"]
    groups = [[name for name in said if name not in managed], texts, managed[:1], managed[1:2]]
    taken = 0

    for value in STRANGE:
        for names in groups:
            body = said | {"slug": f"s{taken}"} | dict.fromkeys(names, value)
            answer = admin_client.post(
                "/admin/studies/study/add/",
                urlencode(body, errors="surrogatepass"),
                content_type="application/x-www-form-urlencoded",
            )
            assert answer.status_code in (200, 302), (names, value[:10])
            taken += answer.status_code == 302

    # What a text may hold is taken; no number, choice, null byte or count of forms is.
    assert Study.objects.count() == taken > 0


@pytest.mark.parametrize("key", ["9" * 30, "9" * 5000, "0", "-1", "x", "٣", "%00"])
@pytest.mark.parametrize("page", ["change", "results", "publish"])
def test_a_study_that_is_none_is_not_found(admin_client, key, page):
    assert admin_client.get(f"/admin/studies/study/{key}/{page}/").status_code in (302, 404)


def test_people_and_codebook_are_handed_out_while_preferences_are_hidden(admin_client):
    study = published(2)
    Person(study).start().finish()

    people = b"".join(admin_client.get(f"/admin/studies/study/{study.pk}/people.csv/").streaming_content)
    codebook = b"".join(admin_client.get(f"/admin/studies/study/{study.pk}/codebook.csv/").streaming_content)

    assert people.startswith(b"participant,mode,state") and b",finished," in people
    assert not {b"left", b"right", b"treatment"} & set(people.replace(b"\n", b",").split(b","))
    assert b'votes,rt_ms,integer,"milliseconds from reveal to choice, hidden' in codebook


def test_a_browsers_line_ends_change_no_text(admin_client):
    """The log and the next version must not say that somebody changed a text that nobody touched."""
    study = draft(3, consent="One.\n\nTwo.", instructions="A\nB", debrief="C")
    address = f"/admin/studies/study/{study.pk}/change/"
    said = form(admin_client.get(address)) | {"people": "7"}
    sent = {name: value.replace("\n", "\r\n") for name, value in said.items() if value != ""}

    assert admin_client.post(address, sent).status_code == 302

    study.refresh_from_db()
    assert (study.people, study.consent, study.instructions) == (7, "One.\n\nTwo.", "A\nB")
    assert study.audit.get(action="changed").detail["fields"] == ["people"]
