"""What all tests share."""

import hypothesis
import pytest
from django.conf import settings


def pytest_configure() -> None:
    # The manifest of static files is made by `collectstatic`, which tests don't need.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    # Tests log in often; the slow hash protects nobody here.
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    # The same examples in each run, and none that fails because the machine was slow or stood still.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("ours", derandomize=True, deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("ours")


@pytest.fixture(autouse=True)
def no_heartbeat_beside_a_transaction(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat comes by a connection of its own, which sees nothing of a transaction that a test is in.

    It would take the chunk for lost as soon as the work lasts longer than a beat.
    """
    database = request.node.get_closest_marker("django_db")
    if database and not database.kwargs.get("transaction"):
        monkeypatch.setattr("generation.tasks._Heartbeat.run", lambda self: None)
