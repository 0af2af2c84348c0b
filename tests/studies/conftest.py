import pytest


@pytest.fixture(autouse=True)
def _files(settings, tmp_path_factory):
    """Pages without collected files, and an image storage of the run's own."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
