"""Participants on the real site: killed in the middle of votes, cut off from the database, shouted at."""

import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from django.db import connection

from studies import bots, chain, recruitment
from studies.models import Mode, Participant, Vote
from tests.site import site, until
from tests.stubborn import Stubborn
from tests.studies.factories import published

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def web(django_db_setup, django_db_blocker, tmp_path_factory):
    with (
        django_db_blocker.unblock(),
        site(tmp_path_factory.mktemp("site"), "web", PGAPPNAME="web", DATABASE_POOL="16") as running,
    ):
        yield running


class Voters:
    """People who take part in threads of their own, and cast as many votes as `may_vote` lets them."""

    def __init__(self, study, url, people, monkeypatch):
        allowed = self.allowed = threading.Semaphore(0)

        class Held(Stubborn):
            def request(self, method, path, body=None):
                if method == "POST" and "/vote/" in path:
                    allowed.acquire(timeout=300)
                return super().request(method, path, body)

        monkeypatch.setattr(bots, "Browser", Held)
        links = recruitment.make_links(study, people, Mode.BOT)
        self.done = []
        self.thread = threading.Thread(
            target=lambda: self.done.append(bots.run(study, links, url, bots.Habits(), workers=people)),
            daemon=True,
        )
        self.thread.start()

    def may_vote(self, times):
        self.allowed.release(times)

    def end(self):
        self.thread.join(240)
        assert self.done, "they have not come to an end"
        assert set(self.done[0].ends) == {"finished"}, self.done[0].errors


def all_in_order(study, people, trials):
    assert list(Participant.objects.values_list("state", flat=True)) == ["finished"] * people
    assert Vote.objects.count() == people * trials
    assert list(chain.faults(study)) == []


def test_the_web_server_killed_twice_during_votes_loses_and_doubles_nothing(web, monkeypatch):
    study = published(12, people=4)
    voters = Voters(study, web.address, 4, monkeypatch)

    for share in (1, 2):
        voters.may_vote(16)  # more than are waited for: some are on their way when it is killed
        until(lambda share=share: Vote.objects.count() >= 16 * share - 4, "some have voted", 120)
        web.kill("web")
        web.start("web")
    voters.may_vote(16)
    voters.end()

    all_in_order(study, 4, 12)


def test_connections_to_the_database_cut_during_votes_lose_and_double_nothing(web, monkeypatch):
    study = published(12, people=4)
    voters = Voters(study, web.address, 4, monkeypatch)

    for share in (1, 2, 3):
        voters.may_vote(12)  # more than are waited for: some are on their way when they are cut
        # Votes since the last cut, so that there are connections again.
        until(lambda share=share: Vote.objects.count() > 12 * share - 4, "some have voted", 120)
        with connection.cursor() as cursor:
            # Those of the web server only: the bots' own look-ups stand for what no participant can see.
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'web'"
            )
            assert cursor.rowcount > 0
    voters.may_vote(12)
    voters.end()

    all_in_order(study, 4, 12)


def test_nobody_meets_a_connection_that_died_with_the_database(web):
    study = published(2)

    def look(_):
        return bots.Browser(web.address).request("GET", f"/s/{study.slug}/")[0]

    with ThreadPoolExecutor(16) as pool:  # several connections wait to be used again
        assert set(pool.map(look, range(64))) == {200}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'web'"
        )
        assert cursor.rowcount > 0

    assert [look(number) for number in range(40)] == [200] * 40


def test_a_large_body_of_unknown_length_is_answered_with_a_page(web):
    study = published(2)
    parts = urlsplit(web.address)
    raw = socket.create_connection((parts.hostname, parts.port), timeout=60)
    raw.sendall(
        f"POST /s/{study.slug}/vote/{'A' * 22}/ HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    for _ in range(64):
        raw.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    raw.sendall(b"0\r\n\r\n")

    answer = http.client.HTTPResponse(raw)
    answer.begin()

    assert answer.status == 413
    assert "Nothing was stored" in answer.read().decode()


def test_two_hundred_starts_at_once_in_one_browser_are_one_person(web):
    study = published(2, people=20)
    first = bots.Browser(web.address)
    page = first.request("GET", f"/s/{study.slug}/")[2].decode()
    said = dict(bots.HIDDEN.findall(page)) | {"consent": "yes"}

    def join(_):
        tab = bots.Browser(web.address)
        tab.cookies.load(first.cookies.output(header="", sep=";"))
        return tab.request("POST", f"/s/{study.slug}/join/", said)[0]

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(join, range(200)))

    assert answers == {303}
    assert Participant.objects.count() == 1
