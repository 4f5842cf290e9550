"""Files below a path: find them, read them, lock them, and replace them so that a kill at any point loses nothing."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import hashlib
import os
import threading
from typing import TYPE_CHECKING

from rollway.routers.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".yaml", ".yml", ".json")
_TEMPORARY = ".rollway-"
_NAME_LIMIT = 255


def walk(path: str) -> list[str]:
    """Return the manifests under a path (or the path itself, for a file), sorted; hidden folders are left out."""
    if not os.path.isdir(path):
        return [path]
    found: list[str] = []
    folders = [path]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise StoreError(f"{folder} cannot be read: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name.endswith(SUFFIXES):
                found.append(entry.path)
    return sorted(found)


def read(path: str) -> bytes | None:
    """Return the bytes of a file, or None when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        pieces = []
        while piece := os.read(descriptor, size + 1):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def decode(raw: bytes) -> tuple[bytes, str]:
    """Split a file into its byte order mark and its text (UTF-8; nothing is translated).

    Raises:
        UnicodeError: it is in another encoding.
    """
    mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    return mark, raw[len(mark) :].decode("utf-8")


_held = threading.local()


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock of a folder (of a file: of its folder), so that processes write one after the other.

    It leaves no file behind. A thread that holds it may take it again. Take the lock of a folder above before that of
    a folder below, so that two stores of which one lies inside the other never wait for each other.
    """
    folder = os.path.realpath(path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)))
    held: set[str] = _held.__dict__.setdefault("folders", set())
    if folder in held:
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{folder} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.add(folder)
        yield
    finally:
        held.discard(folder)
        os.close(descriptor)


def replace(path: str, raw: bytes) -> None:
    """Give a file new content at once: a reader, or a kill at any point, sees the old content or the new.

    Raises:
        StoreError: it cannot be written; the old content is still there.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f"{_TEMPORARY}{os.urandom(8).hex()}.tmp")
    try:
        _clean(folder)
        mode = os.stat(target).st_mode & 0o7777 if os.path.exists(target) else 0o666 & ~_umask()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(temporary, target)
        _sync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def remove(path: str) -> None:
    """Delete a file.

    Raises:
        StoreError: it cannot be deleted.
    """
    try:
        os.unlink(path)
        _sync(os.path.dirname(os.path.realpath(path)))
    except OSError as error:
        raise StoreError(f"{path} cannot be deleted: {error.strerror}") from error


def new_name(folder: str, name: str) -> str:
    """Return the path of a file that does not exist yet, named after an object."""
    stem = name
    if len(stem) > _NAME_LIMIT - len("-00.yaml"):
        stem = f"{stem[:200]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
    path = os.path.join(folder, f"{stem}.yaml")
    number = 2
    while os.path.lexists(path):
        path = os.path.join(folder, f"{stem}-{number}.yaml")
        number += 1
    return path


def _clean(folder: str) -> None:
    """Delete what a killed process left; the store's lock is held, so nobody else is writing."""
    with os.scandir(folder) as entries:
        stale = [
            entry.path
            for entry in entries
            if entry.name.startswith(_TEMPORARY) and entry.name.endswith(".tmp")
        ]
    for path in stale:
        os.unlink(path)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
