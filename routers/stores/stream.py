"""Manifests from a stream as a store: what `kustomize build`, `helm template` or `kubectl get -o yaml` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.errors import UnwritableError
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.stores.manifest_files import ManifestFiles

if TYPE_CHECKING:
    from rollway.routers.objects import LiveObject
    from rollway.routers.plan import Change


class _StreamText(ManifestFiles):
    """One text that was read before, in place of files."""

    def __init__(self, name: str, namespace: str, content: bytes) -> None:
        super().__init__(name, namespace)
        self._content = content

    def paths(self) -> list[str]:
        return [self.path]

    def raw(self, path: str) -> bytes | None:
        return self._content if path == self.path else None


class StreamStore(DirectoryStore):
    """Read the manifests of a stream. `name` stands in the places of errors: `standard input:12`. It takes no writes."""

    def __init__(self, content: bytes, namespace: str = "default", name: str = "standard input") -> None:
        super().__init__(_StreamText(name, namespace, content), namespace)

    def check(self, change: Change) -> None:
        """Find nothing: a plan shows what would change, wherever it is to be written."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:  # noqa: ARG002 - the protocol has it
        """Raise UnwritableError: a stream is not written back."""
        raise UnwritableError(
            f"{change.ref} comes from {self.path}, which cannot be written",
            hint="give --dir the folder of the files, or print the objects for a weight with `rollway render`",
        )
