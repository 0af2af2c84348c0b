"""A download whose database goes away in the middle: the browser is told that the file is not whole."""

import http.client

import pytest
from django.db import connection
from django.test import Client

from studies.models import Study
from tests.site import site
from tests.studies.factories import published

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]
ROWS = 200_000  # tens of megabytes: more than what the sockets between hold
END_COPY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'COPY%%' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def study() -> Study:
    study = published(1, blind=False)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO generation_score (image_id, metric, version, weights, value, created) "
            "SELECT pair.baseline_id, 'metric ' || n, '1', '', n, now() "
            "FROM generation_pair pair CROSS JOIN generate_series(1, %s) n",
            [ROWS],
        )
    return study


def asked_for(study: Study, address: str, cookie: str) -> http.client.HTTPResponse:
    asked = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    asked.request("GET", f"/admin/studies/study/{study.pk}/files/scores.csv/", headers={"Cookie": cookie})
    answer = asked.getresponse()
    assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
    return answer


def test_a_file_that_was_cut_off_does_not_look_whole(study, tmp_path, django_user_model):
    browser = Client()
    browser.force_login(django_user_model.objects.create_superuser("r"))
    cookie = f"sessionid={browser.cookies['sessionid'].value}"

    with site(tmp_path, "web") as running:
        whole = asked_for(study, running.address, cookie).read()
        cut = asked_for(study, running.address, cookie)
        begun = cut.read(100_000)
        with connection.cursor() as cursor:
            cursor.execute(END_COPY)
            assert cursor.fetchall() == [(True,)]
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            cut.read()

    assert whole.count(b"\n") == ROWS + 1
    assert whole.startswith(begun)
