import contextlib
import io
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.error import URLError

import pytest
from django.core.management import CommandError, call_command

from generation.scoring import weights
from generation.scoring.weights import KNOWN, Unavailable, Weight
from tests.generation.scoring import weight_files


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.WEIGHTS = tmp_path / "weights"
    return settings.WEIGHTS


def run(*args):
    said = io.StringIO()
    call_command("weights", *args, stdout=said)
    return said.getvalue()


def test_it_lists_what_each_metric_needs(folder):
    said = run("list")

    for name, weight in KNOWN.items():
        assert f"weights fetch {name}" in said
        assert weight.file in said
    assert "109 MB  missing" in said


def test_a_file_of_the_users_own_is_there(folder):
    folder.mkdir()
    (folder / "musiq.pth").write_bytes(b"mine")

    assert "there, your own musiq.pth" in run("list", "musiq")
    assert run("check", "musiq") == "musiq: there, your own musiq.pth\n"


def test_a_check_fails_for_what_is_missing():
    with pytest.raises(CommandError, match=r"1 of 1 metrics can't be computed \(nima\).*weights fetch nima"):
        run("check", "nima")


def test_a_check_fails_for_other_bytes_under_the_published_name(folder):
    folder.mkdir()
    (folder / "RN50.pt").write_bytes(b"other")

    with pytest.raises(CommandError, match=r"clipiqa"):
        run("check", "clipiqa")
    assert "not afeb0e10f9e5a86d" in run("list", "clipiqa")


def test_without_a_network_a_fetch_says_what_to_do(folder, monkeypatch):
    def offline(weight, folder):
        return fetch(weight, folder, opener=unreachable)

    fetch = weights.fetch
    monkeypatch.setattr("generation.management.commands.weights.fetch", offline)

    said = io.StringIO()
    with pytest.raises(CommandError, match="2 of 2 are not there: musiq, nima"):
        call_command("weights", "fetch", "musiq", "nima", stdout=said)
    assert re.search(r"musiq: .* can't be fetched \(no route\).*EVALSITE_WEIGHTS", said.getvalue())
    assert list(folder.iterdir()) == []


def unreachable(url):
    raise URLError("no route")


def test_what_is_fetched_is_there_whole(folder):
    weight = Weight("small.pth", "here/small.pth", 0, "ba7816bf")  # of abc: FIPS 180-4's example

    path = weights.fetch(weight, folder, opener=lambda url: io.BytesIO(b"abc"))

    assert path.read_bytes() == b"abc"
    assert [file.name for file in folder.iterdir()] == ["small.pth"]


@pytest.fixture
def broken_off():
    """The address of a server that announces more bytes than it sends, or answers with no HTTP at all."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith("nonsense.mat"):
                self.wfile.write(b"nonsense\r\n\r\n")
                return
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "why"), [("small.mat", "it broke off 997 bytes before its end"), ("nonsense.mat", "nonsense")]
)
def test_a_file_that_breaks_off_is_not_kept(folder, broken_off, name, why):
    with pytest.raises(Unavailable, match=f"can't be fetched .{why}"):
        weights.fetch(Weight.at(f"{broken_off}/{name}"), folder)
    assert list(folder.iterdir()) == []


def test_other_bytes_than_those_published_are_not_kept(folder):
    weight = Weight("small.pth", "here/small.pth", 0, "ba7816bf")

    with pytest.raises(Unavailable, match="nothing was kept"):
        weights.fetch(weight, folder, opener=lambda url: io.BytesIO(b"abcd"))
    assert list(folder.iterdir()) == []


def test_an_unknown_metric_is_refused_with_those_that_there_are():
    with pytest.raises(CommandError, match="beauty is no metric; those with weights are musiq"):
        run("list", "beauty")
    with pytest.raises(CommandError, match="brightness needs no weights"):
        run("fetch", "brightness")


def test_a_missing_clip_is_no_failure_while_the_bundled_one_stands_in():
    assert "meanwhile" in run("check", "open_clip")


@pytest.fixture
def published(monkeypatch):
    """A network that has each of these files, by the end of its address."""
    files: dict[str, bytes] = {}

    def served(url):
        return io.BytesIO(next(content for name, content in files.items() if url.endswith(name)))

    def fetched(weight, folder):
        return fetch(weight, folder, opener=served)

    fetch = weights.fetch
    monkeypatch.setattr("generation.management.commands.weights.fetch", fetched)
    return files


def test_any_metric_of_pyiqa_says_and_fetches_what_it_needs(folder, published, tmp_path):
    """This one reads a MAT-file, which holds numbers and no code, so its bytes need no known hash."""
    said = run("list", "niqe_matlab")
    assert "niqe_matlab_params.mat" in said
    assert "weights fetch niqe_matlab" in said
    published["niqe_matlab_params.mat"] = weight_files.niqe(tmp_path / "niqe.mat").read_bytes()

    run("fetch", "niqe_matlab")

    assert run("check", "niqe_matlab") == "niqe_matlab: there\n"
    assert run("fetch", "niqe_matlab") == "niqe_matlab: is there.\n"


def test_a_file_that_can_hold_code_is_not_trusted_without_its_hash(folder, published):
    name = "brisque"
    file = run("list", name).split(name, 1)[1].split()[0]
    published[file] = b"anything"

    said = io.StringIO()
    with pytest.raises(CommandError, match="not there: brisque"):
        call_command("weights", "fetch", name, stdout=said)
    assert re.search(r"SHA-256 of .* is not known.*call it brisque\.pth", said.getvalue())


@pytest.mark.parametrize("action", ["list", "check"])
def test_looking_what_is_there_asks_no_network(folder, monkeypatch, action):
    """LPIPS takes a backbone of torchvision by its address, TOPIQ one of the Hugging Face hub."""
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))

    def connected(*args):
        pytest.fail("it asked the network")

    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(socket, "getaddrinfo", connected)
    said = io.StringIO()
    with contextlib.suppress(CommandError):
        call_command("weights", action, "lpips", "topiq_nr", stdout=said)

    assert "missing: python manage.py weights fetch lpips" in said.getvalue()
    if action == "list":
        assert "alexnet-owt-7be5be79.pth" in said.getvalue()
    assert "model of the Hugging Face hub that is not in its cache" in said.getvalue()
