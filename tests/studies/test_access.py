"""Who may do what: each role on each page, action and file of a study, read from the addresses themselves."""

import io
import re
import zipfile

import pytest
from django.contrib.auth.models import Permission
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from studies import access, composing
from studies.access import May, Role
from studies.models import Member, Study
from tests.studies.factories import Person, draft, published

pytestmark = pytest.mark.django_db
PEOPLE = ("superuser", Role.OWNER, Role.COLLABORATOR, Role.READER, Role.NONE)
# Addresses that are about no one study, with what their own tests are.
OTHERS = {
    "studies_planner", "studies_study_changelist", "studies_study_add", "studies_study_compose",
    "studies_participant_changelist", "studies_participant_add", "studies_participant_history",
    "studies_participant_delete", "studies_participant_change",
    "studies_auditentry_changelist", "studies_auditentry_add", "studies_auditentry_history",
    "studies_auditentry_delete", "studies_auditentry_change",
}  # fmt: skip
MORE = {
    "studies_figure": {"name": "preference", "kind": "csv"},
    "studies_file": {"name": "pairs", "kind": "csv"},
    "studies_walk": {"language": "en", "step": "welcome"},
    "studies_walk_picture": {"number": 0, "side": "left"},
}


@pytest.fixture
def users(django_user_model) -> dict[str, object]:
    made = {
        str(who): django_user_model.objects.create_user(
            str(who), is_staff=True, is_superuser=who == "superuser"
        )
        for who in PEOPLE
    }
    made[Role.OWNER].user_permissions.add(Permission.objects.get(codename="add_study"))
    return made


@pytest.fixture
def study(users) -> Study:
    """A study that runs, with preferences shown."""
    return given(published(2, people=2, blind=False), users)


def given(study: Study, users) -> Study:
    Study.objects.filter(pk=study.pk).update(owner=users[Role.OWNER])
    Member.objects.create(study=study, user=users[Role.COLLABORATOR], role=Role.COLLABORATOR)
    Member.objects.create(study=study, user=users[Role.READER], role=Role.READER)
    study.refresh_from_db()
    return study


def names() -> list[str]:
    """The names of all addresses of the admin that belong to studies."""

    def within(patterns) -> list[str]:
        found = []
        for each in patterns:
            if isinstance(each, URLResolver):
                found += within(each.url_patterns)
            elif isinstance(each, URLPattern) and (each.name or "").startswith("studies_"):
                found.append(each.name)
        return found

    return [name for name in within(get_resolver().url_patterns) if not name.startswith("studies_experiment")]


def address(name: str, study: Study) -> str:
    if name.startswith("studies_study_"):
        return reverse(f"admin:{name}", args=[study.pk])
    return reverse(f"admin:{name}", kwargs={"pk": study.pk} | MORE.get(name, {}))


def refused(answer, study: Study) -> bool:
    """403, or led to the admin's first page since there is no such study for them."""
    return answer.status_code == 403 or answer.get("Location", "") == "/admin/"


def test_every_address_about_a_study_has_a_rule():
    assert set(names()) - OTHERS == set(access.ADDRESSES)


def test_an_address_without_a_rule_can_not_be_made():
    with pytest.raises(KeyError):
        access.guarded("studies_new_page", lambda request, pk: None)


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("state", ["draft", "live"])
def test_each_page_action_and_file_is_for_those_who_may(client, users, who, state):
    study = given(draft(2, blind=False) if state == "draft" else published(2, blind=False), users)
    client.force_login(users[who])
    granted = access.RIGHTS[Role.OWNER if who == "superuser" else Role(who)]

    found = {name: not refused(client.get(address(name, study)), study) for name in access.ADDRESSES}

    expected = {name: what in granted for name, what in access.ADDRESSES.items()}
    if state == "live":
        expected["studies_study_delete"] = False  # nobody deletes what was published
    assert found == expected


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize(
    ("name", "said", "what"),
    [
        ("publish", {}, May.PUBLISH),
        ("close", {}, May.CLOSE),
        ("pause", {}, May.RUN),
        ("exclude", {}, May.RUN),
        ("recruit", {"count": "1", "mode": "live", "beside": "0"}, May.RUN),
        ("unblind", {"why": "a look"}, May.UNBLIND),
        ("members", {"user": "no access", "role": "collaborator"}, May.SHARE),
    ],
)
def test_an_action_that_is_refused_changes_nothing(client, users, who, name, said, what):
    study = given(draft(2) if name == "publish" else published(2), users)
    client.force_login(users[who])
    before = study.audit.count()

    answer = client.post(reverse(f"admin:studies_{name}", args=[study.pk]), said)

    may = what in access.RIGHTS[Role.OWNER if who == "superuser" else Role(who)]
    assert (answer.status_code == 403) is not may
    if name != "exclude":  # nobody breaks a rule here, so nothing is done
        assert (study.audit.count() > before) is may


@pytest.mark.parametrize("who", PEOPLE)
def test_lists_show_only_what_may_be_seen(client, users, study, who):
    other = published(2, blind=False)
    for each in (study, other):
        Person(each).start()
    client.force_login(users[who])

    for name in ("study", "participant", "auditentry"):
        answer = client.get(reverse(f"admin:studies_{name}_changelist"))
        if who == Role.NONE:
            assert answer.status_code == 403
        else:
            page = answer.content.decode()
            assert (study.title in page, other.title in page) == (True, who == "superuser")


@pytest.mark.parametrize("who", PEOPLE)
def test_the_first_page_shows_only_what_may_be_seen(client, users, study, who):
    client.force_login(users[who])

    assert (study.title in client.get("/admin/").content.decode()) is (who != Role.NONE)


def test_a_participant_of_another_study_is_not_shown(client, users, study):
    other = Person(published(2)).start().row
    client.force_login(users[Role.OWNER])

    answer = client.get(reverse("admin:studies_participant_change", args=[other.pk]))

    assert refused(answer, study)


@pytest.mark.parametrize("who", [Role.OWNER, Role.COLLABORATOR, Role.READER])
def test_only_who_invites_people_learns_who_they_are(client, users, who):
    study = given(published(2, entry="prolific"), users)
    person = Person(study, "?PROLIFIC_PID=someone-known").start().finish()
    client.force_login(users[who])

    pages = [
        client.get(reverse("admin:studies_participant_changelist")).content.decode(),
        client.get(reverse("admin:studies_participant_change", args=[person.row.pk])).content.decode(),
    ]
    found = client.get(reverse("admin:studies_participant_changelist"), {"q": "someone-known"})

    knows = who != Role.READER
    assert [person.code in page for page in pages] == [knows, knows]
    assert ("someone-known" in pages[1]) is knows
    assert (person.row.pseudonym in found.content.decode()) is knows


@pytest.mark.parametrize("who", [Role.OWNER, Role.COLLABORATOR, Role.READER])
def test_only_who_may_edit_gets_a_form(client, users, who):
    study = given(draft(2), users)
    client.force_login(users[who])
    page = client.get(reverse("admin:studies_study_change", args=[study.pk]))

    answer = client.post(reverse("admin:studies_study_change", args=[study.pk]), {"title": "Another"})

    editable = who != Role.READER
    assert ('name="title"' in page.content.decode()) is editable
    assert ('name="questions-0-text"' in page.content.decode()) is editable
    assert answer.status_code == (200 if editable else 403)  # 200: the errors of a form that was sent half


def test_buttons_are_shown_to_those_who_may(client, users, study):
    shown = {}
    for who in (Role.OWNER, Role.COLLABORATOR, Role.READER):
        client.force_login(users[who])
        page = client.get(reverse("admin:studies_study_change", args=[study.pk])).content.decode()
        shown[who] = {
            word for word in ("pause", "close", "recruit", "files", "members", "duplicate")
            if re.search(rf'(href|action)="[^"]*/{word}/"', page)
        }  # fmt: skip

    assert shown[Role.OWNER] == {"pause", "close", "recruit", "files", "members", "duplicate"}
    assert shown[Role.COLLABORATOR] == {"pause", "recruit", "files"}
    assert shown[Role.READER] == {"files"}


def test_who_may_not_make_studies_can_not_copy_one(client, users, study):
    client.force_login(users[Role.READER])

    assert client.post(reverse("admin:studies_duplicate", args=[study.pk])).status_code == 403
    assert client.get(reverse("admin:studies_study_add")).status_code == 403


def test_access_is_given_changed_and_taken_with_a_log(client, users, study):
    client.force_login(users[Role.OWNER])
    page = reverse("admin:studies_members", args=[study.pk])

    for role, becomes in (("read-only", Role.READER), ("collaborator", Role.COLLABORATOR), ("", Role.NONE)):
        client.post(page, {"user": "no access", "role": role})
        assert access.role(users[Role.NONE], study) == becomes

    log = [(entry.action, entry.detail) for entry in study.audit.order_by("id")][-3:]
    assert log == [
        ("access given", {"user": "no access", "role": "read-only"}),
        ("access given", {"user": "no access", "role": "collaborator"}),
        ("access taken", {"user": "no access"}),
    ]


@pytest.mark.parametrize(("name", "words"), [("nobody", "Nobody signs in here"), ("owner", "owns the study")])
def test_access_that_can_not_be_given_is_refused_at_the_field(client, users, study, name, words):
    client.force_login(users[Role.OWNER])

    answer = client.post(
        reverse("admin:studies_members", args=[study.pk]), {"user": name, "role": "read-only"}
    )

    assert answer.status_code == 400
    assert words in answer.content.decode()


def test_who_is_no_longer_active_has_no_access(users, study):
    users["superuser"].is_active = users[Role.READER].is_active = False

    assert access.role(users["superuser"], study) == access.role(users[Role.READER], study) == Role.NONE
    assert not access.open_to(users[Role.READER]).exists()


class TestFiles:
    def test_every_table_is_listed_with_its_formats(self, admin_client, study):
        page = admin_client.get(reverse("admin:studies_files", args=[study.pk])).content.decode()

        for name in ("votes.csv-wide", "scores.parquet", "trials.csv", "protocol.json", "archive.zip"):
            assert f"/files/{name}/" in page

    @pytest.mark.parametrize(
        ("file", "starts", "called"),
        [
            ("votes.csv", b"participant,item,", "votes.csv"),
            ("votes.csv-wide", b"participant,mode,state", "votes-wide.csv"),
            ("pairs.parquet", b"PAR1", "pairs.parquet"),
            ("protocol.json", b"{", "protocol.json"),
            ("archive.zip", b"PK", "archive.zip"),
        ],
    )
    def test_a_file_is_streamed_and_logged(self, admin_client, study, file, starts, called):
        answer = admin_client.get(f"/admin/studies/study/{study.pk}/files/{file}/")

        assert b"".join(answer.streaming_content).startswith(starts)
        assert answer["Content-Disposition"] == f'attachment; filename="{study.slug}-{called}"'
        name, form = file.split(".")
        assert study.audit.first().detail == {"table": name, "format": form}

    @pytest.mark.parametrize("file", ["votes.json", "nothing.csv", "archive.csv"])
    def test_what_is_no_file_is_not_found(self, admin_client, study, file):
        assert admin_client.get(f"/admin/studies/study/{study.pk}/files/{file}/").status_code == 404

    def test_what_is_hidden_says_so(self, admin_client):
        study = published(2)

        page = admin_client.get(reverse("admin:studies_files", args=[study.pk])).content.decode()
        answers = [
            admin_client.get(f"/admin/studies/study/{study.pk}/files/{file}/", follow=True)
            for file in ("votes.parquet", "archive.zip")
        ]

        assert "/files/votes.csv/" not in page and "Hidden until the study is closed." in page
        for answer in answers:
            assert "Preferences are hidden until the study is closed." in answer.content.decode()
        assert not study.audit.filter(action="exported").exists()

    def test_a_draft_has_no_protocol_and_no_archive(self, admin_client):
        answer = admin_client.get(
            f"/admin/studies/study/{draft(2, blind=False).pk}/files/archive.zip/", follow=True
        )

        assert "there is an archive once it is published" in answer.content.decode()


def test_a_code_is_known_only_to_who_may_know_it(users, client):
    """Whoever reads a code can claim to have taken part, so it is in nothing that is handed on."""
    said = {"code_complete": "C-OMPLETE", "code_full": "F-ULL", "code_screened": "S-CREENED"}
    way = "https://site.invalid/?cc=R-ETURN"
    study = given(published(2, people=1, blind=False, return_url=way, **said), users)
    person = Person(study).start()
    person.finish()
    codes = [*said.values(), "R-ETURN"]

    files = [("file", {"name": "protocol", "kind": "json"}), ("file", {"name": "archive", "kind": "zip"})]
    client.force_login(users[Role.READER])
    pages = [client.get(reverse("admin:studies_study_change", args=[study.pk]))]
    pages += [
        client.get(reverse(f"admin:studies_{name}", kwargs={"pk": study.pk} | more)) for name, more in files
    ]
    for page in pages:
        assert page.status_code == 200
        held = b"".join(page) if page.streaming else page.content
        if held.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(held)) as archive:
                held = b"".join(archive.read(name) for name in archive.namelist())
        assert not [code for code in codes if code.encode() in held]
    assert person.row.code == "C-OMPLETE"

    client.force_login(users[Role.OWNER])
    shown = client.get(reverse("admin:studies_study_change", args=[study.pk])).content.decode()
    assert all(code in shown for code in codes)


def test_a_copy_of_a_study_has_no_codes_of_its_original(users):
    study = published(2, code_complete="C-OMPLETE", return_url="https://site.invalid/?cc=C-OMPLETE")

    copy = composing.duplicate(study, owner=users[Role.READER])

    assert (copy.code_complete, copy.return_url) == ("", "")


@pytest.mark.parametrize(
    ("page", "lookup"),
    [
        ("studies_study", "code_complete__startswith=C"),
        ("studies_study", "return_url__contains=cc"),
        ("studies_participant", "external_id=who-7"),
        ("studies_participant", "external_id__startswith=w"),
        ("studies_participant", "code__startswith=C"),
        ("studies_participant", "study__code_complete__startswith=C"),
        ("studies_participant", "parameters__contains=x"),
        ("studies_auditentry", "detail__contains=x"),
    ],
)
def test_what_a_list_does_not_show_is_not_found_out_by_its_address(users, client, page, lookup):
    given(published(2, code_complete="C-OMPLETE", entry="prolific"), users)
    client.force_login(users[Role.READER])

    answer = client.get(f"{reverse(f'admin:{page}_changelist')}?{lookup}")

    assert answer.status_code == 400


def test_the_filters_that_a_list_offers_work(users, client):
    study = given(published(2), users)
    client.force_login(users[Role.READER])

    for page, lookup in (
        ("studies_study", "state__exact=live"),
        ("studies_participant", f"study__id__exact={study.pk}"),
        ("studies_participant", "state__exact=active"),
        ("studies_participant", "approved_at__isempty=1"),
        ("studies_auditentry", f"study__id__exact={study.pk}"),
    ):
        assert client.get(f"{reverse(f'admin:{page}_changelist')}?{lookup}").status_code == 200
