"""Whatever is sent: the right status, a page that says what to do, nothing written, never a 500."""

import io
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from studies import enrolment, frame, protocol
from studies.models import Attempt, Participant, Presentation, Study, Vote
from studies.refusals import Refused
from tests.studies.factories import Person, draft, published

pytestmark = pytest.mark.django_db


def written() -> tuple[int, ...]:
    return Vote.objects.count(), Attempt.objects.count(), Participant.objects.count()


@pytest.mark.parametrize(
    ("choice", "status"),
    [("up", 400), ("", 400), ("le\0ft", 400), ("LEFT", 400), ("left ", 400), ("x" * 2000, 400)],
)
def test_an_unknown_choice(choice, status):
    person = Person(published(3)).start()
    before = written()

    answer = person.post(choice)

    assert answer.status_code == status
    assert "Nothing was stored" in answer.content.decode()
    assert written() == before


@pytest.mark.parametrize("token", ["A" * 22, "x", "%00" * 8, "é" * 22, "A" * 400, "../../x", "%F0%9F%8C%B7"])
def test_a_forged_token(token):
    person = Person(published(3)).start()
    before = written()

    assert person.post("left", action=f"/s/{person.study.slug}/vote/{token}/").status_code == 404
    assert written() == before


def test_the_token_of_another_person():
    study = published(3)
    one, other = Person(study).start(), Person(study).start()

    assert one.post("left", action=other.action).status_code == 404
    assert not Vote.objects.exists()


def test_a_vote_without_a_cookie():
    person = Person(published(3)).start()
    stranger = Client()

    assert stranger.post(person.action, {"choice": "left"}).status_code == 404


@pytest.mark.parametrize("cookie", ["\0", "x" * 5000, "A" * 22, "'; drop table"])
def test_a_cookie_that_is_not_ours(cookie):
    study = published(3)
    stranger = Client(headers={"cookie": f"evalsite-person={cookie}"})

    assert stranger.get(f"/s/{study.slug}/").status_code == 200
    assert stranger.get(f"/s/{study.slug}/trial/").status_code == 404


def test_a_later_trial():
    person = Person(published(3)).start()
    later = person.row.trials.get(position=2)

    answer = person.post("left", action=f"/s/{person.study.slug}/vote/{later.token}/")

    assert answer.status_code == 409
    assert "Go on where you stand" in answer.content.decode()


def test_the_same_answer_twice_is_one_vote():
    person = Person(published(3)).start()

    first, again = person.post("left"), person.post("left")

    assert (first.status_code, again.status_code) == (303, 303)
    assert first.url == again.url
    assert person.row.votes.count() == 1


def test_the_same_answer_after_the_end_and_after_closing_is_still_the_same():
    study = published(2)
    person = Person(study).start()
    action, fields = person.action, person.fields()
    person.finish()
    protocol.change_state(study, Study.State.CLOSED)

    again = person.client.post(action, fields | {"choice": "left"})

    assert again.status_code == 303
    assert person.row.votes.count() == 2


def test_another_answer_to_the_same_trial_is_kept_as_an_attempt_and_changes_nothing():
    person = Person(published(3)).start()
    person.post("left")

    answer = person.post("right")

    assert answer.status_code == 409
    assert person.row.votes.get().choice == "left"
    assert Attempt.objects.get().choice == "right"


def test_no_preference_where_a_side_must_be_chosen():
    person = Person(published(3, ties=False)).start()

    assert 'value="tie"' not in person.html
    assert person.post("tie").status_code == 400


def test_a_script_gets_json():
    person = Person(published(2)).start()

    good = person.client.post(
        person.action, person.fields() | {"choice": "left"}, headers={"accept": "application/json"}
    )
    bad = person.client.post(
        person.action, person.fields() | {"choice": "right"}, headers={"accept": "application/json"}
    )

    assert (good.status_code, good.json()) == (200, {"next": f"/s/{person.study.slug}/trial/"})
    assert (bad.status_code, bad.json()) == (409, {"refused": "another-answer"})


@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        ("{}", "application/json", 415),
        ("x", "text/plain", 415),
        ("x", "", 415),
        ("choice=" + "x" * 100_000, "application/x-www-form-urlencoded", 413),
        ("x" * 5_000_000, "application/json", 413),
        ("&" * 3000, "application/x-www-form-urlencoded", 400),
        ("--nothing", "multipart/form-data; boundary=x", 403),
        ("--nothing", "multipart/form-data", 400),
        ("choice=left", "application/x-www-form-urlencoded; charset=utf-16", 400),
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded", 403),
    ],
)
def test_bodies_that_are_no_form_of_ours(body, type_, status):
    person = Person(published(3)).start()
    before = written()

    answer = person.client.post(person.action, body, content_type=type_)

    assert answer.status_code == status
    assert written() == before


def test_a_form_without_its_csrf_token():
    person = Person(published(3)).start()

    answer = person.client.post(person.action, {"choice": "left"})

    assert answer.status_code == 403
    assert "cookie" in answer.content.decode()


@pytest.mark.parametrize("page", ["", "join/", "trial/", "instructions/", "end/", "picture/x.png", "leave/"])
def test_a_draft_is_not_there(page):
    study = draft(3)

    answer = Client().get(f"/s/{study.slug}/{page}")

    assert answer.status_code in (404, 405)


@pytest.mark.parametrize("slug", ["nothing", "x" * 300, "%00", "a%0ab"])
def test_an_unknown_study(slug):
    assert Client().get(f"/s/{slug}/").status_code == 404


def test_a_full_study_tells_so_with_a_code_of_its_own():
    study = published(2, people=1)
    Person(study).start()

    late = Person(study).join()

    assert late.page.status_code == 409
    assert late.code == late.row.code
    assert late.row.state == "full"
    assert Participant.objects.filter(seat__isnull=False).count() == 1


def test_who_comes_too_late_goes_back_with_the_code_for_it():
    study = published(
        2,
        people=1,
        entry="prolific",
        code_full="LATE",
        return_url="https://site.invalid/done?cc={code}&id={id}",
    )
    Person(study, "?PROLIFIC_PID=first").start()

    late = Person(study, "?PROLIFIC_PID=a/b").join()

    assert late.code == "LATE"
    assert 'href="https://site.invalid/done?cc=LATE&amp;id=a%2Fb"' in late.html


def test_a_paused_study_takes_nobody_new_and_lets_who_began_finish():
    study = published(2)
    person = Person(study).start()
    protocol.change_state(study, Study.State.PAUSED)

    new = Person(study)
    person.finish()

    assert (new.page.status_code, new.page["Retry-After"]) == (503, "3600")
    assert person.code


def test_a_closed_study_refuses_answers_and_newcomers_and_keeps_the_code_of_who_finished():
    study = published(2)
    done, under_way = Person(study).start().finish(), Person(study).start()
    protocol.change_state(study, Study.State.CLOSED)

    assert Person(study).page.status_code == 410
    refused = under_way.post("left")
    assert refused.status_code == 410
    assert "There is no completion code" in refused.content.decode()
    assert done.code in done.client.get(done.home, follow=True).content.decode()


def test_who_comes_back_late_goes_on_if_the_seat_is_still_theirs():
    study = published(2, people=1)
    person = Person(study).start()
    Participant.objects.update(expires_at=timezone.now() - timedelta(minutes=1))

    person.finish()

    assert person.row.state == "finished"


def test_who_comes_back_after_the_seat_went_on_is_told_so():
    study = published(2, people=1)
    person = Person(study).start()
    person.vote()
    Participant.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    other = Person(study).start()

    refused = person.post("left")

    assert refused.status_code == 410
    assert "Your time is over" in refused.content.decode()
    assert other.finish().row.seat == person.row.seat
    assert person.row.votes.count() == 1


def test_a_picture_whose_file_has_vanished_is_not_found_and_logged(caplog):
    person = Person(published(2)).start()
    address = re.search(r'<img src="([^"]+)"', person.html)[1]
    for file in Presentation.objects.values_list("file", flat=True):
        default_storage.delete(file)

    assert person.client.get(address).status_code == 404
    assert "has vanished from the image storage" in caplog.text


def test_every_refusal_has_words_of_its_own():
    study = published(2)
    titles = set()
    for kind in Refused.__subclasses__():
        page = _page(study, kind())
        titles.add(page.split("<h1>")[1].split("</h1>")[0])

    assert len(titles) == len(Refused.__subclasses__())


def _page(study, refused) -> str:
    return frame.refusal(RequestFactory().get("/"), study.slug, refused).content.decode()


def test_withdrawing_erases_the_answers_and_opens_the_seat_again():
    study = published(3, people=1)
    person = Person(study, "?x=1").start()
    person.vote()
    row = person.row

    person.page = person.client.get(f"/s/{study.slug}/leave/")
    person.submit()

    assert "Your answers are erased" in person.html
    vote = Vote.objects.get(participant=row)
    assert (vote.choice, vote.cast_at, vote.salt) == (None, None, None)
    assert bytes(vote.link)
    assert person.row.state == "withdrawn"
    assert Person(study).start().finish().code


def test_an_id_from_the_recruiting_site_resumes_in_another_browser():
    study = published(3, entry="prolific")
    query = "?PROLIFIC_PID=abc123&STUDY_ID=s&SESSION_ID=t"
    first = Person(study, query).start()
    first.vote()

    again = Person(study, query).join()

    assert "2 of 3" in again.html
    assert Participant.objects.count() == 1
    assert first.row.parameters == {"STUDY_ID": "s", "SESSION_ID": "t"}


@pytest.mark.parametrize("query", ["", "?PROLIFIC_PID=", "?PROLIFIC_PID=%00", "?PROLIFIC_PID=" + "x" * 500])
def test_without_the_recruiting_sites_id_nobody_gets_a_seat(query):
    assert Person(published(2, entry="prolific"), query).page.status_code == 400


@pytest.mark.parametrize("link", ["x", "A" * 22, "%00"])
def test_a_link_that_was_never_given_out(link):
    study = published(2)
    person = Person(study, f"?link={link}")
    if person.page.status_code == 200:
        person.join()

    assert person.page.status_code == 404
    assert not Participant.objects.exists()


def test_a_one_time_link_is_not_burnt_by_a_preview_and_gives_one_person():
    study = published(2, entry="links")
    link = study.invitations.create().token
    for _ in range(3):
        Client().get(f"/s/{study.slug}/?link={link}")

    one = Person(study, f"?link={link}").start()
    two = Person(study, f"?link={link}").join()

    assert one.row == two.row
    assert Person(study).page.status_code == 400


def test_the_seat_of_somebody_who_enrols_twice_at_once_is_one(monkeypatch):
    study = published(2, entry="prolific")
    arrival = enrolment.Arrival(external_id="p1")
    first = enrolment.enrol(study, arrival)
    known, looks = enrolment._known, []

    def too_early(*args):
        # The second request looked before the first one's row was there.
        looks.append(args)
        return None if len(looks) == 1 else known(*args)

    monkeypatch.setattr(enrolment, "_known", too_early)

    assert enrolment.enrol(study, arrival) == first
    assert study.participants.count() == 1


def test_an_address_that_is_no_page_says_what_to_do():
    page = Client().get("/nothing/here/")

    assert page.status_code == 404
    assert "No page has this address" in page.content.decode()


def test_an_error_of_the_site_says_that_answers_are_safe(monkeypatch):
    study = published(2)

    def fail(*args):
        raise RuntimeError("broken")

    monkeypatch.setattr("studies.views.recruitment.arrival", fail)
    page = Client(raise_request_exception=False).get(f"/s/{study.slug}/")

    assert page.status_code == 500
    assert "Answers that were stored are safe" in page.content.decode()


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_page_waits_for_a_database_that_is_away(monkeypatch, error):
    study = published(2)

    def fail(*args):
        raise error("the connection is lost")

    monkeypatch.setattr("studies.views.recruitment.arrival", fail)
    client = Client(raise_request_exception=False)
    looked, sent = client.get(f"/s/{study.slug}/"), client.post(f"/s/{study.slug}/join/")

    assert (looked.status_code, looked["Retry-After"], looked["Refresh"]) == (503, "3", "3")
    assert (sent.status_code, sent["Retry-After"], sent.get("Refresh")) == (503, "3", None)
    assert "loads itself again" in looked.content.decode()


@pytest.mark.parametrize("key", ["x", "9" * 5000, "", "-1", "1e3", "\0"])
@pytest.mark.parametrize(
    "table",
    ["studies/study", "studies/participant", "generation/pair", "generation/experiment", "auth/user"],
)
def test_an_action_on_a_row_without_a_key_is_refused(admin_client, table, key):
    sent = {"action": "delete_selected", "_selected_action": ["1", key]}

    answer = admin_client.post(f"/admin/{table}/", sent)

    assert answer.status_code == 400
    assert "Nothing was changed" in answer.content.decode()


LOOKED_AT = ("", "instructions/", "trial/", "end/", "leave/", "left/", "screened/", "picture/x.png")
SENT = ("join/", "again/", "begin/", "withdraw/")
BOTH = ("questions/", "vote/x/")


@pytest.mark.parametrize("page", LOOKED_AT)
def test_a_page_to_look_at_takes_nothing(page):
    person = Person(published(2)).start()
    before = written()

    for method in ("put", "patch", "delete", "post", "options"):
        answer = getattr(person.client, method)(f"/s/{person.study.slug}/{page}")
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
        assert "Nothing was stored" in answer.content.decode()
    assert written() == before


@pytest.mark.parametrize("page", SENT)
def test_an_address_of_a_form_shows_nothing(page):
    person = Person(published(2)).start()

    for method in ("put", "patch", "delete", "get", "head"):
        answer = getattr(person.client, method)(f"/s/{person.study.slug}/{page}")
        assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize("page", BOTH)
def test_an_address_of_a_page_with_its_form_takes_nothing_else(page):
    person = Person(published(2)).start()

    for method in ("put", "patch", "delete"):
        answer = getattr(person.client, method)(f"/s/{person.study.slug}/{page}")
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(("size", "status"), [(1_000_000, 413), (10_000_000, 413), (500, 400), (0, 400)])
def test_a_body_of_unknown_length(size, status):
    person = Person(published(2)).start()
    sent = {"wsgi.input": io.BytesIO(b"x" * size), "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}

    answer = person.client.generic("POST", person.action, b"", "application/x-www-form-urlencoded", **sent)

    assert answer.status_code == status
    assert "Nothing was stored" in answer.content.decode()


@pytest.mark.parametrize("length", ["abc", "-5", "١٢", "9" * 30, "1.5"])
def test_a_length_that_is_no_number(length):
    person = Person(published(2)).start()

    answer = person.client.generic(
        "POST", person.action, b"", "application/x-www-form-urlencoded", CONTENT_LENGTH=length
    )

    assert answer.status_code == 400


MEASURED = ("rt_ms", "hidden_ms", "viewport_width", "pixel_ratio", "shown_width", "image_errors")
STRANGE = ("9" * 5000, "-" + "9" * 400, "1e999", "nan", "\0", "a\0b", "\ud800", "٣" * 300, "x" * 4000, "=1+1")
FORM = "application/x-www-form-urlencoded"


def encoded(said: dict[str, str]) -> str:
    return urlencode(said, errors="surrogatepass")


@pytest.mark.parametrize("name", MEASURED)
def test_what_can_not_have_been_measured_is_left_out_and_costs_no_vote(name):
    person = Person(published(len(STRANGE))).start()

    for value in STRANGE:
        person.page = person.client.get(person.home, follow=True)
        said = person.fields() | {"choice": "left", name: value}
        assert person.client.post(person.action, encoded(said), content_type=FORM).status_code == 303

    assert set(person.row.votes.values_list(name, flat=True)) == {None}


def test_a_strange_choice_is_refused():
    person = Person(published(2)).start()

    for value in STRANGE:
        said = encoded(person.fields() | {"choice": value})
        assert person.client.post(person.action, said, content_type=FORM).status_code == 400


@pytest.mark.parametrize("name", ["link", "PROLIFIC_PID", "STUDY_ID", "SESSION_ID"])
def test_strange_values_in_the_address_never_break_the_site(name):
    study = published(2, entry="prolific")

    for value in STRANGE:
        said = encoded({"PROLIFIC_PID": "p1"} | {name: value})
        client = Client()
        page = client.get(f"/s/{study.slug}/?{said}")
        sent = client.post(f"/s/{study.slug}/join/", said, content_type=FORM)
        assert page.status_code in (200, 400, 404)
        assert sent.status_code in (303, 400, 404, 409)


def test_an_answer_of_somebody_who_took_theirs_back_is_refused_and_stores_nothing():
    study = published(3)
    person = Person(study).start()
    given, fields = person.action, person.fields()
    person.vote("left")
    ahead = person.action
    enrolment.withdraw(person.row)

    answers = [person.client.post(action, fields | {"choice": "left"}) for action in (given, ahead)]

    assert [answer.status_code for answer in answers] == [409, 410]
    assert list(Vote.objects.values_list("choice", flat=True)) == [None]
