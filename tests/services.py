"""A pytest plugin: one private PostgreSQL and Redis for the whole run, started before Django is set up.

The workers of pytest-xdist are children of the first process and inherit the addresses.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from evalsite import embedded

_services: embedded.Services | None = None
_folder: Path | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    global _folder, _services
    os.environ.setdefault("SECRET_KEY", "only-for-tests")
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    _folder = Path(tempfile.mkdtemp(prefix="evalsite-tests-"))
    os.environ["EVALSITE_VAR"] = str(_folder)
    _services = embedded.start(_folder, durable=False)
    os.environ |= _services.environment()


def pytest_unconfigure() -> None:
    if _services is not None:
        _services.stop()
    if _folder is not None:
        shutil.rmtree(embedded.data_folder(_folder).parent, ignore_errors=True)
        shutil.rmtree(_folder, ignore_errors=True)
