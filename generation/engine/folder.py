"""A folder of images as `manage.py generate` makes it: PNG files and a manifest.jsonl that says how.

A line of the manifest is one item, written and synced after the item's files have got their names: so what
has a line is whole, whenever the process was killed. A folder is filled for one set of parameters, by one
process at a time. No torch here: the importer reads such folders too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

MANIFEST = "manifest.jsonl"
SCORES = "scores.csv"  # which `manage.py score` leaves beside the images


class BadFolder(ValueError):
    """A folder that can't be filled or read; the message says why, and what to do."""


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The entries of a folder's manifest, the latest of each item. Raises BadFolder.

    A last line that was cut off by a kill is left out.
    """
    try:
        data = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BadFolder(f"{path / MANIFEST}: cannot be read ({error.strerror}).") from error
    entries: dict[str, dict[str, Any]] = {}
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            entries[entry["id"]] = entry
        except (ValueError, KeyError, TypeError) as error:
            raise BadFolder(f"{path / MANIFEST}, line {number}: no entry of a manifest.") from error
    return list(entries.values())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the process is killed."""
    write_together(path.parent, {path.name: data})


def write_together(path: Path, files: Mapping[str, bytes]) -> None:
    """The same of files that belong together: where one can't be written, none is replaced.

    Raises OSError that names the file, and BadFolder where a folder lies in its place.
    """
    free_of_folders(*(path / name for name in files))
    parts = {name: path / f".{name}.part" for name in files}
    try:
        for name, data in files.items():
            _write(parts[name], data)
        for name, part in parts.items():
            part.replace(path / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def free_of_folders(*paths: Path) -> None:
    """Raises BadFolder where a folder lies where a file is to be written."""
    for path in paths:
        if path.is_dir():
            raise BadFolder(f"{path} is a folder, and a file is to be written there: move it away.")


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of a folder, which is made where there is none.

    Raises BadFolder where it can't be made or another process is in it. Left empty, it is removed again.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BadFolder(f"{path}: cannot be written ({error.strerror}).") from error
    try:
        _hold(held, path)
        try:
            yield
        finally:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    finally:
        os.close(held)


class Folder:
    """A folder that is open for filling; entries: those of whole items, by id."""

    def __init__(self, path: Path, manifest: BinaryIO, parameters: Mapping[str, Any]) -> None:
        self.path = path
        self.parameters = dict(parameters)
        self.entries: dict[str, dict[str, Any]] = {}
        self._manifest = manifest

    def add(self, item: str, files: Mapping[str, bytes], entry: Mapping[str, Any]) -> None:
        """Keep an item's files, then its line."""
        for name, data in files.items():
            write_whole(self.path / name, data)
        _sync_folder(self.path)
        line = {"id": item, "files": {name: _digest(data) for name, data in files.items()}, **entry}
        line["parameters"] = self.parameters
        self._manifest.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._manifest.flush()
        os.fsync(self._manifest.fileno())
        self.entries[item] = line

    def _take_up(self, expected: Collection[str]) -> None:
        """Read what an earlier run has left, and clear away what it has left half-written."""
        self._cut_torn_line()
        for entry in read_manifest(self.path):
            if entry.get("parameters") != self.parameters:
                raise BadFolder(_differs(self.path, entry.get("parameters"), self.parameters))
            if all(self._is_there(name, digest) for name, digest in entry["files"].items()):
                self.entries[entry["id"]] = entry
        for file in self.path.iterdir():
            if file.name.endswith(".part") and file.name.startswith("."):
                file.unlink()
            elif file.name not in (MANIFEST, SCORES) and file.name not in expected:
                raise BadFolder(
                    f"{self.path} holds {file.name}, which is not of this run: name another folder."
                )

    def _cut_torn_line(self) -> None:
        self._manifest.seek(0)
        data = self._manifest.read()
        if data and not data.endswith(b"\n"):
            self._manifest.truncate(data.rfind(b"\n") + 1)

    def _is_there(self, name: str, digest: str) -> bool:
        try:
            return _digest((self.path / name).read_bytes()) == digest
        except OSError:
            return False

    @classmethod
    @contextmanager
    def open(cls, path: Path, parameters: Mapping[str, Any], expected: Collection[str]) -> Iterator[Self]:
        """The folder at `path`, made where there is none, to be filled with these parameters.

        parameters: as JSON gives them back. expected: names of all files that the whole run writes.
        Raises BadFolder where it was made with other parameters, holds other files, or is being filled.
        A folder in which nothing was kept is removed again.
        """
        new = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            manifest = (path / MANIFEST).open("a+b")
        except OSError as error:
            raise BadFolder(f"{path}: cannot be written ({error.strerror}).") from error
        with manifest:
            _hold(manifest.fileno(), path)
            folder = cls(path, manifest, parameters)
            try:
                folder._take_up(expected)
                yield folder
            finally:
                if (path / MANIFEST).stat().st_size == 0:
                    (path / MANIFEST).unlink()
                    if new and not any(path.iterdir()):
                        path.rmdir()


def _hold(descriptor: int, path: Path) -> None:
    """Lock an open file until it is closed. Raises BadFolder where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BadFolder(f"{path}: another process is filling it.") from error


def _differs(path: Path, made: Any, asked: Mapping[str, Any]) -> str:
    made = made if isinstance(made, dict) else {}
    name = next(key for key in (*asked, *made) if made.get(key) != asked.get(key))
    was, now = (json.dumps(found.get(name), ensure_ascii=False)[:200] for found in (made, asked))
    return f"{path} was made with other parameters ({name}: {was}, now {now}): name another folder."


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync_folder(path: Path) -> None:
    """Makes renames last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
