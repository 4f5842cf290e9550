"""Files below a path: find them, read them, lock them, and replace them so that a kill at any point loses nothing."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

from rollway.routers.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".yaml", ".yml", ".json")
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TEMPORARY = ".rollway-"
_NAME_LIMIT = 255
_CLOCK_STEP = 2_000_000_000
"""More nanoseconds than between two times that a file system can tell apart; FAT counts in two seconds."""


def walk(path: str) -> list[str]:
    """Return the manifests under a path (or the path itself, for a file), sorted.

    Hidden folders are left out. A link is followed where its target is not walked anyway, so that no file comes twice
    and no loop of links is walked for ever.
    """
    if not os.path.isdir(path):
        return [path]
    manifests: list[str] = []
    links: list[str] = []
    _walk_folder(path, manifests, links)
    if links:
        _follow(links, manifests, os.path.realpath(path))
    return sorted(manifests)


def _walk_folder(path: str, manifests: list[str], links: list[str]) -> None:
    """Add the manifests below a folder to one list, and the links among its entries to another."""
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
            if entry.is_symlink():
                links.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif _is_manifest(entry.name):
                manifests.append(entry.path)


def _follow(links: list[str], manifests: list[str], root: str) -> None:
    """Add what links lead to: files and folders whose real place has not come up yet."""
    known = {os.path.realpath(path) for path in manifests}
    folders = {root}
    while links:
        link = links.pop(0)
        target = os.path.realpath(link)
        reached: list[str] = []
        if os.path.isdir(target):
            above = os.path.commonpath((root, target)) == target  # a loop
            if not above and not any(_is_within(target, folder) for folder in folders):
                folders.add(target)
                _walk_folder(link, reached, links)
        elif _is_manifest(os.path.basename(link)):
            reached.append(link)
        for path in reached:
            real = os.path.realpath(path)
            if real not in known:
                known.add(real)
                manifests.append(path)


def _is_within(path: str, folder: str) -> bool:
    """Return whether a walk of the folder comes by the path: it lies below, and no folder in between is hidden."""
    relative = os.path.relpath(path, folder)
    return relative == "." or not any(part.startswith(".") for part in relative.split(os.sep))


def _is_manifest(name: str) -> bool:
    return name.endswith(SUFFIXES) or name == "Kustomization"


def exists(path: str) -> bool:
    """Return whether there is a file, readable or not; a link that leads nowhere is none."""
    return os.path.exists(path)


def read(path: str) -> bytes | None:
    """Return the bytes of a file, or None when it cannot be read."""
    return Contents().read(path)


class Contents:
    """The bytes of files, each read again only where it may have changed since.

    A file with the same times is the same, unless it was written so shortly before it was read that the clock of its
    file system may have stood still in between: https://git-scm.com/docs/racy-git.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, the same object while they are the same, or None when it cannot be read."""
        try:
            # A network file system asks its server for the times when a file is opened.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return self._read(path, descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _read(self, path: str, descriptor: int) -> bytes:
        status = os.fstat(descriptor)
        now = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        then, known = self._known.get(path, ((), b""))
        if now == then:
            return known
        moment, pieces = time.time_ns(), []
        while piece := os.read(descriptor, status.st_size + 1):
            pieces.append(piece)
        raw = b"".join(pieces)
        raw = known if raw == known else raw
        settled = moment - max(now[-2:]) > _CLOCK_STEP
        self._known[path] = (now if settled else (), raw)
        return raw


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
        before = os.stat(target) if os.path.exists(target) else None
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            _keep_owner(descriptor, before)
            os.fchmod(descriptor, before.st_mode & 0o7777 if before else 0o666 & ~_umask())
            os.fsync(descriptor)
        os.replace(temporary, target)
        _sync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def refuse_unwritable(path: str) -> None:
    """Raise StoreError when the folder of a file does not let the caller replace it, and write nothing."""
    target = os.path.realpath(path) if os.path.islink(path) else path
    folder = os.path.dirname(target) or "."
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{path} cannot be written: no permission for {folder}")


def _keep_owner(descriptor: int, before: os.stat_result | None) -> None:
    """Give a new file the owner and the group of the one that it replaces, as far as the caller may."""
    if before is None:
        return
    now = os.fstat(descriptor)
    for user, group in ((-1, before.st_gid), (before.st_uid, -1)):
        if (user, group) not in ((now.st_uid, -1), (-1, now.st_gid)):
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, user, group)


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
