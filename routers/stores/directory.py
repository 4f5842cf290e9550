"""A directory (or one file) of manifests as a store: for example, a GitOps repository.

Writes change single values inside a file (see `yaml_text`), replace the file atomically, and happen under a lock on the
directory, against what the file holds at that moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

from rollway.routers import stores
from rollway.routers.errors import (
    ConflictError,
    DuplicateObjectError,
    RollwayError,
    StoreError,
    UnsupportedError,
    UnwritableError,
)
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.objects import Live, LiveObject, Need
from rollway.routers.plan import Action, Change
from rollway.routers.stores import drafts, files, kustomization, patches
from rollway.routers.stores.manifest_files import ManifestFiles, Place, ways_to_ask
from rollway.routers.stores.overlays import View
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest, ObjectRef, Pointer
    from rollway.routers.stores.drafts import FileChange

FINDINGS = (
    FindingCode(
        "files-only",
        "The manifests are files, and no cluster is asked.",
        "Endpoints that are not ready, and a data plane that does not follow, are not found.",
        "Nothing for a pipeline that commits manifests; on a cluster leave out `--dir`.",
    ),
    FindingCode(
        "kustomize-overlay",
        "A kustomization changes an object in a way that rollway does not follow.",
        "The object as it stands in its file is not the one that a cluster gets.",
        "Give rollway what `kustomize build` prints (`--dir -`).",
    ),
)


class DirectoryStore:
    """Read and write the manifests under a path. `namespace` is that of objects which name none.

    Where an object stands in several places, the one in the file `prefer` counts, or the one in its folder. The
    kustomizations that count are those under the path, and for a single file those under `within`.
    """

    evidence = Evidence.WRITTEN
    notes = (
        Finding(
            "files-only",
            Severity.NOTE,
            None,
            "files show neither ready endpoints nor what a data plane has loaded, so neither was checked",
        ),
    )

    def __init__(
        self,
        path: str | os.PathLike[str] | ManifestFiles,
        namespace: str = "default",
        *,
        prefer: str | os.PathLike[str] = "",
        within: str | os.PathLike[str] = "",
    ) -> None:
        self.namespace = namespace
        self._prefer = os.path.realpath(prefer) if prefer else ""
        if isinstance(path, ManifestFiles):
            self._files = path
        else:
            self._files = ManifestFiles(os.fspath(path), namespace, os.fspath(within))
            if not os.path.exists(path):
                raise StoreError(f"{path} does not exist", hint="give a directory or a file of manifests")
        self.path = self._files.path
        self._chosen: dict[ObjectRef, Place] = {}
        """Where the objects that were read last stand, as far as something decides between their places."""

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects; see `Store.read`.

        Of an object that only a need without a name asks for, every place counts: the further ones come as objects
        of their own, whose names have the place.
        """
        needs = [need for need in needs if not need.runtime]
        search = self._files.find(needs)
        absent = stores.missing(needs, search.places)
        if absent:
            raise self._files.not_found(absent)
        asked: dict[tuple[str, str, str, str], list[Need]] = {}
        for need in needs:
            asked.setdefault((need.group, need.kind, need.namespace, need.name), []).append(need)
        live = [
            item
            for ref, places in search.places.items()
            for item in self._live(
                ref, places, [need for way in ways_to_ask(ref) for need in asked.get(way, ())]
            )
        ]
        # Who asks for them by name has got the problem as an error.
        overlaid = [
            Finding("kustomize-overlay", Severity.NOTE, item.ref, item.problem.message, item.problem.hint)
            for item in live
            if isinstance(item.problem, UnsupportedError)
        ]
        return Live(live, notes=(*self.notes, *search.findings, *overlaid))

    def faults(self) -> list[Finding]:
        """Return a finding for each file, and each document in one, that cannot be read as objects."""
        return list(self._files.faults())

    @contextlib.contextmanager
    def lock(self, rollout: Rollout) -> Iterator[bool]:  # noqa: ARG002 - Rollouts may share files
        """Hold the lock on the directory, so that other processes wait; see `Store.lock`."""
        with files.locked(self.path):
            yield True

    def check(self, change: Change) -> None:
        """Try a change on the texts of the files, and write nothing; see `Store.check`.

        What has changed since the change was planned is found out again when it is written.
        """
        origin = change.derived_from if change.action is Action.CREATE else change.ref
        place = self._chosen.get(origin) if origin else None
        with contextlib.suppress(ConflictError):
            if place is None:
                place = self._place_for(change)
            if place and self._surely_fits(change, place):
                files.refuse_unwritable(place.path)
                return
            for file_change in self._draft(change, place):
                files.refuse_unwritable(file_change.path)

    def _surely_fits(self, change: Change, place: Place) -> bool:
        """Whether the files take a change for certain: new scalars in place of old ones, or a file that no list names.

        A trial of the edit costs some parses, which is too much for each of a thousand Rollouts.
        """
        if place.others:
            return False
        if change.action is Action.CREATE:
            return not os.path.isfile(self.path) and not self._files.has_kustomizations
        return drafts.replaces_scalars(change) and not drafts.has_properties(
            self._files.raw(place.path) or b""
        )

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change in one file; see `Store.write`."""
        if dry_run:
            raise UnsupportedError(
                "a directory has no admission to ask, so there is no dry run on the server's side",
                hint="use --dry-run=client, which tries the change on the files, or a cluster",
            )
        with files.locked(self.path), contextlib.ExitStack() as locks:
            place = self._place_for(change)
            # A store of a folder below, or of one that links here, locks the file's own folder: hold those as well.
            for path in sorted(self._paths_to_lock(change, place)):
                locks.enter_context(files.locked(path))
            written = self._draft(change, place)
            for path, content in written:
                if content is None:
                    files.remove(path)
                else:
                    files.replace(path, content)
            if change.after is None:
                return None
            view = place.view if place else View()
            return self._live_object(change.ref, self._place_now(change.ref, written[-1].path, view))

    # -- reading

    def _live(self, ref: ObjectRef, places: Sequence[Place], asking: Sequence[Need]) -> Iterator[LiveObject]:
        """Yield the object as it counts, and its further places where none of the needs asks for it by name.

        Raises:
            DuplicateObjectError: a need asks for it by name, and nothing decides between its places.
            UnsupportedError: a need asks for it by name, and a kustomization makes something else of it.
        """
        chosen = self._preferred(places)
        problem = self._overlaid(ref, chosen) if chosen else self._duplicate(ref, places)
        if problem and any(need.name and not need.tolerant for need in asking):
            raise problem
        if chosen:
            self._chosen[ref] = chosen
        chosen = chosen or places[0]
        yield self._live_object(ref, chosen, problem)
        if not any(need.name for need in asking):
            for place in places:
                if place is not chosen:
                    copy = ref._replace(name=f"{ref.name} ({place.path})")
                    yield self._live_object(copy, place, problem, is_copy=True)

    def _overlaid(self, ref: ObjectRef, place: Place) -> UnsupportedError | None:
        """Return why an object differs from its file; None where it does not."""
        renaming, patched_by = place.view.renaming, place.view.patch_of(place.placed.manifest)
        named = place.placed.manifest["metadata"].get("namespace") or ref.namespace
        if named != ref.namespace:
            why = f"names the namespace {named}, which a kustomization replaces"
        elif renaming:
            why = f"gets another name by {renaming}, and with it what refers to it"
        elif patched_by:
            why = f"is patched by {patched_by}, so that its file is not what is applied"
        else:
            return None
        build = os.path.dirname(place.view.outermost) or "."
        folder = os.path.dirname(place.path) or "."
        return UnsupportedError(
            f"{ref} in {self._files.locate(place)} {why}",
            hint=f"read what kustomize builds (`kustomize build {build} | rollway ... --dir -`), or give --dir {folder} "
            "to work on the files as they are written",
        )

    def _preferred(self, places: Sequence[Place]) -> Place | None:
        """Return the place that counts: the only one, or the only one in the preferred file or its folder."""
        if len(places) == 1:
            return places[0]
        if self._prefer:
            folder = os.path.join(os.path.dirname(self._prefer), "")
            real = [(os.path.realpath(place.path), place) for place in places]
            for near in (
                [place for path, place in real if path == self._prefer],
                [place for path, place in real if path.startswith(folder)],
            ):
                if len(near) == 1:
                    return near[0]
        return None

    def _duplicate(self, ref: ObjectRef, places: Sequence[Place]) -> DuplicateObjectError:
        *first, last = [self._files.locate(place) for place in places]
        count = "two" if len(places) == 2 else len(places)
        return DuplicateObjectError(
            f"{ref} stands in {count} places: {', '.join(first)} and {last}",
            hint="keep one of them, give --dir a folder that has only one, or choose the Rollout's file with -f",
        )

    def _live_object(
        self,
        ref: ObjectRef,
        place: Place,
        problem: RollwayError | None = None,
        *,
        is_copy: bool = False,
    ) -> LiveObject:
        def locate(pointer: Pointer) -> str:
            return self._files.locate(place, pointer)

        manifest = place.placed.manifest
        return LiveObject(
            ref,
            manifest,
            _version(manifest),
            locate,
            problem=problem,
            is_copy=is_copy,
            original=self._files.original(place),
        )

    # -- writing

    def _place_of(self, ref: ObjectRef) -> Place | None:
        """Return where an object stands.

        Raises:
            DuplicateObjectError: it stands in several places, and nothing decides between them.
        """
        places = self._files.find([Need(ref.group, ref.kind, ref.name, ref.namespace)]).places.get(ref)
        if not places:
            return None
        chosen = self._preferred(places)
        if chosen is None:
            raise self._duplicate(ref, places)
        return chosen

    def _place_for(self, change: Change) -> Place | None:
        """Return the place of the object to change, or of the one that a new object is made from, if it is here.

        Raises:
            ConflictError: the object is gone, or the new one is there already.
        """
        place = self._place_of(change.ref)
        if change.action is Action.CREATE:
            if place:
                raise ConflictError(f"{change.ref} exists already, in {place.path}")
            return self._place_of(change.derived_from) if change.derived_from else None
        if place is None:
            raise ConflictError(f"{change.ref} is gone")
        return place

    def _paths_to_lock(self, change: Change, place: Place | None) -> set[str]:
        """Return the files that a change may touch, by their real paths."""
        touched = {os.path.realpath(place.path)} if place else set()
        if change.action in (Action.CREATE, Action.DELETE):
            touched.update(os.path.realpath(path) for path in kustomization.paths(self.path))
        return touched

    def _draft(self, change: Change, place: Place | None) -> list[FileChange]:
        """Work out what a change makes of the files as they are now.

        Raises:
            ConflictError: the object is no longer what the change was computed from.
            UnwritableError: a text cannot take it.
        """
        if place:
            self._refuse_shared(change.ref, place)
        if change.action is Action.CREATE:
            assert change.after is not None, "a creation has an object"
            return self._draft_creation(change.after, place)
        assert place is not None, "whoever changes an object has found it"
        place = self._place_now(change.ref, place.path, place.view)
        manifest = place.placed.manifest
        if change.action is Action.PATCH:
            after = change.after if manifest == change.before else patches.patched(change, manifest)
            assert after is not None, "a patch has an object"
            return (
                drafts.changed(place, after)
                if change.lasting
                else drafts.patched(place, after, change.original)
            )
        if _version(manifest) != change.version:
            raise ConflictError(f"{change.ref} in {place.path} has changed since it was read")
        if change.after is None:
            return drafts.deleted(self.path, place)
        return drafts.changed(place, change.after)

    def _draft_creation(self, manifest: Manifest, origin: Place | None) -> list[FileChange]:
        """Put a new object in a file beside the one that it is made from; a store of one file gets a new document.

        It names its namespace only if that one does: a repository that leaves it out gives it when it is applied.
        """
        if origin and "namespace" not in origin.placed.manifest["metadata"]:
            metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
            manifest = {**manifest, "metadata": metadata}
        if os.path.isfile(self.path):
            return drafts.appended(self.path, manifest)
        if origin:
            return drafts.created(self.path, os.path.dirname(origin.path), origin.path, manifest)
        if any(os.path.dirname(path) == self.path.rstrip(os.sep) for path in kustomization.paths(self.path)):
            raise UnwritableError(
                f"{manifest['kind']} {manifest['metadata']['name']} has no place in {self.path}: what it is made from "
                "is not there, and the kustomization would not list it",
                hint="give --dir a folder that holds the Rollout and its routing objects as well",
            )
        return drafts.created(self.path, self.path, None, manifest)

    def _place_now(self, ref: ObjectRef, path: str, view: View) -> Place:
        """Return the place of an object in a file as the file is now.

        Raises:
            ConflictError: it is not there any more.
        """
        parsed = self._files.parse(path, self._files.raw(path) or b"")
        for placed in parsed.objects:
            place = Place(path, placed, view)
            if self._files.ref(place) == ref:
                return place
        raise ConflictError(f"{ref} is gone from {path}")

    def _refuse_shared(self, ref: ObjectRef, place: Place) -> None:
        """Raise UnsupportedError when a file is the source of further objects, which a write would change as well."""
        if place.others:
            views = self._files.overlays().views(place.path)
            builds = ", ".join(view.outermost or place.path for view in views)
            raise UnsupportedError(
                f"{ref} is made from {place.path}, and so are other objects ({builds}): a write would change them all",
                hint=f"keep the object in one overlay, or give --dir {os.path.dirname(place.path) or '.'} "
                "to work on the files as they are written",
            )


def _version(manifest: Manifest) -> str:
    text = json.dumps(manifest, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
