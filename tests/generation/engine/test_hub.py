"""Models of a hub, against a fake one: the real client, over HTTP, with a server that holds one model."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from generation.conditions import Condition
from generation.engine.driver import Item, generate
from generation.engine.families import HubUnreachable, load
from generation.sources import BadModel

from . import pipelines

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "lab/flowers"


class FakeHub(ThreadingHTTPServer):
    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        files = [f for f in self.server.folder.rglob("*") if f.is_file()]
        held = {f.relative_to(self.server.folder).as_posix(): f for f in files}
        if path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": name} for name in held]
            tree = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": COMMIT}
                for name, file in held.items()
            ]
            found = tree if "/tree/" in path else {"id": NAME, "sha": COMMIT, "siblings": siblings}
            self._send(200, json.dumps(found).encode(), body)
            return
        for revision in ("main", COMMIT):
            prefix = f"/{NAME}/resolve/{revision}/"
            if path.startswith(prefix):
                name = path.removeprefix(prefix)
                if name in held:
                    self._send(200, held[name].read_bytes(), body)
                else:
                    self._send(404, b"", body, error="EntryNotFound")
                return
        error = "RevisionNotFound" if path.startswith(f"/{NAME}/") else "RepoNotFound"
        self._send(404, b"", body, error=error)

    def _send(self, status: int, data: bytes, body: bool, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    fake = FakeHub(folder(pipelines.ddpm, classes=True))
    thread = threading.Thread(target=fake.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", fake.address)
    template = fake.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):  # 10 seconds: a busy machine takes longer
        monkeypatch.setattr(huggingface_hub.constants, name, 120)
    yield fake
    fake.shutdown()
    fake.server_close()
    thread.join()


def test_a_hub_model_is_loaded_with_its_commit_and_its_labels(hub):
    model = load(NAME)

    assert (model.source, model.commit) == (NAME, COMMIT)
    assert model.labels == {0: "daisy", 1: "rose", 2: "tulip"}
    assert "unet/diffusion_pytorch_model.safetensors" in model.fingerprint
    result = generate(model, [Item(0, label=1)], [Condition(sampler="se2p", steps=2)])
    assert result.manifest["model"]["commit"] == COMMIT


def test_a_commit_is_loaded_again_from_the_cache_when_the_hub_is_gone(hub, monkeypatch):
    first = load(NAME)
    hub.shutdown()
    hub.server_close()

    again = load(NAME, first.commit)

    assert again.fingerprint == first.fingerprint


def test_half_a_cache_without_the_hub_is_no_bad_model(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    huggingface_hub.hf_hub_download(NAME, "model_index.json")
    hub.shutdown()
    hub.server_close()

    with pytest.raises(HubUnreachable):
        load(NAME)


def test_variants_and_pickles_are_not_fetched_where_there_are_safetensors(hub, tmp_path):
    hub.folder = shutil.copytree(hub.folder, tmp_path / "more")
    for name in ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin"):
        (hub.folder / "unet" / name).write_bytes(b"0")

    load(NAME)

    assert not [path for path in hub.asked if path.endswith((".bin", ".fp16.safetensors"))]


def test_pickles_are_fetched_where_there_is_nothing_else(hub, tmp_path):
    hub.folder = shutil.copytree(hub.folder, tmp_path / "older")
    path = hub.folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()

    assert "unet/diffusion_pytorch_model.bin" in load(NAME).fingerprint


@pytest.mark.parametrize(
    "source, revision, says",
    [
        ("lab/nothing", "", "no such model"),
        (NAME, "v9", "no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have_is_refused(hub, source, revision, says):
    with pytest.raises(BadModel, match=says):
        load(source, revision)


def test_another_pipeline_is_refused_before_its_weights_are_fetched(hub, tmp_path):
    hub.folder = tmp_path / "other"
    hub.folder.mkdir()
    (hub.folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (hub.folder / "weights.safetensors").write_bytes(b"0" * 100)

    with pytest.raises(BadModel, match=r"'FluxPipeline' is not supported; these are: DDPMPipeline"):
        load(NAME)
    assert not [path for path in hub.asked if "weights" in path]


def test_a_repository_without_an_index_is_refused(hub, tmp_path):
    hub.folder = tmp_path / "other"
    hub.folder.mkdir()

    with pytest.raises(BadModel, match=r"lacks model_index\.json"):
        load(NAME)


def test_a_hub_that_cannot_be_reached_says_what_to_do(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its tries
    hub.shutdown()
    hub.server_close()

    with pytest.raises(HubUnreachable, match=r"Name a local folder instead, or set HF_HOME"):
        load(NAME)
