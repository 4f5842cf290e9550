"""From the name of a template in a store to the metrics that a run of it measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.analysis.arguments import merged
from rollway.analysis.lookup import find, objects, read_credentials, read_live, read_secret, reference_of
from rollway.analysis.providers import provider
from rollway.analysis.spec import CLUSTER_TEMPLATE, RUN, TEMPLATE, Analysis, Argument, SecretKey
from rollway.analysis.spec_reader import read_analysis, read_metrics
from rollway.analysis.templates import flattened, gathered
from rollway.routers.errors import Fault, InvalidInputError, ManifestError, NotFoundError
from rollway.routers.objects import dig
from rollway.routers.rollout import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rollway.analysis import spec
    from rollway.analysis.spec import Metric
    from rollway.routers.objects import Live, LiveObject, ObjectRef
    from rollway.routers.stores import Store

_KINDS = {kind.lower(): kind for kind in (TEMPLATE, CLUSTER_TEMPLATE, RUN)}
_KINDS |= {"at": TEMPLATE, "cat": CLUSTER_TEMPLATE, "ar": RUN}
"""The words for the kinds, among them the short names of Argo Rollouts' CRDs."""


class Prepared(NamedTuple):
    """The metrics of a template or a run, with the values of their arguments.

    `credentials` are those of their providers, by the names of the metrics; `secrets` are values that must not show.
    """

    ref: ObjectRef
    metrics: tuple[Metric, ...]
    credentials: Mapping[str, Mapping[str, str]]
    secrets: tuple[str, ...]


class Sources(NamedTuple):
    """Where a template and what it needs come from.

    `manifests` has the template and those that it takes in, and `secrets` opens the store of its Secrets; those of
    providers are in `controller`, the namespace of a controller, or in the `environment`.
    """

    manifests: Store
    secrets: Callable[[], Store]
    controller: str
    environment: Mapping[str, str]


def prepare(sources: Sources, name: str, namespace: str, given: Mapping[str, str]) -> Prepared:
    """Read a template (`name`, `clusteranalysistemplate/name` or `analysisrun/name`) with values for its arguments.

    Raises:
        NotFoundError: it, a template that it takes in, or a secret is not there.
        ManifestError: it has faults, all of which are listed.
        InvalidInputError: an argument has no value, or there is none of that name.
    """
    word, slash, rest = name.rpartition("/")
    kind = _KINDS.get(word.lower()) if slash else TEMPLATE
    if kind is None:
        raise InvalidInputError(f"{word} is no kind of analysis", hint=f"there is {', '.join(_KINDS)}")
    live = read_live(sources.manifests, namespace, *([RUN] if kind == RUN else ()))
    item = find(live, kind, rest, namespace)
    analysis = _whole(item, live)
    arguments = _with_given(item, analysis.arguments, given)
    secret = {argument.name for argument in analysis.arguments if argument.secret}
    values = dict(_values(arguments, sources.secrets, item.ref.namespace))
    metrics, faults = read_metrics(analysis, values)
    if faults:
        raise _faulty(item, faults)
    credentials = {
        metric.name: read_credentials(
            sources.secrets(),
            wanted,
            metric.settings,
            (item.ref.namespace, sources.controller),
            sources.environment,
        )
        for metric in metrics
        if (wanted := provider(metric.provider).credentials)
    }
    secrets = [values[each] for each in sorted(secret)]
    secrets += [
        value
        for each in credentials.values()
        for key, value in each.items()
        if key.lower().endswith(("key", "token"))
    ]
    return Prepared(item.ref, metrics, credentials, tuple(filter(None, secrets)))


def _whole(item: LiveObject, live: Live) -> Analysis:
    """Return an analysis with the templates that it takes in."""
    analysis, faults = read_analysis(item.manifest)
    if faults:
        raise _faulty(item, faults)
    if not analysis.references:
        return analysis
    read = {
        reference_of(each): (each, *read_analysis(each.manifest))
        for kind in (TEMPLATE, CLUSTER_TEMPLATE)
        for each in objects(live, kind, item.ref.namespace)
    }
    found, absent = gathered([reference_of(item)], {key: value for key, (_, value, _) in read.items()})
    if absent:
        raise NotFoundError(f"{', '.join(map(str, absent))} not found", ref=item.ref)
    for reference in found:
        other, _, faults = read[reference]
        if faults:
            raise _faulty(other, faults)
    whole, contradictions = flattened([read[reference][1] for reference in found])
    if contradictions:
        raise ManifestError(item.ref, contradictions)
    return whole


def _with_given(
    item: LiveObject, declared: Sequence[Argument], given: Mapping[str, str]
) -> tuple[Argument, ...]:
    names = [argument.name for argument in declared]
    unknown = [name for name in given if name not in names]
    if unknown:
        known = f"there is {', '.join(names)}" if names else "it has none"
        raise InvalidInputError(f"{item.ref} has no argument {', '.join(unknown)}", hint=known)
    arguments = merged((Argument(name, value) for name, value in given.items()), declared)
    missing = [each.name for each in arguments if each.value is None and each.secret is None]
    if missing:
        words = " ".join(f"--arg {name}=VALUE" for name in missing)
        raise InvalidInputError(
            f"{item.ref}: {', '.join(f'args.{name}' for name in missing)} was not resolved",
            hint=f"give {words}",
        )
    return arguments


def _values(
    arguments: Sequence[Argument], store: Callable[[], Store], namespace: str
) -> Iterable[tuple[str, str]]:
    for argument in arguments:
        if argument.value is not None:
            yield argument.name, argument.value
        else:
            assert isinstance(argument.secret, SecretKey), "the caller has looked at it"
            yield argument.name, read_secret(store(), argument.secret, namespace, argument.name)


def _faulty(item: LiveObject, faults: Sequence[spec.Fault]) -> ManifestError:
    """Return the error of all faults, with the lines where they stand."""
    written = []
    for fault in faults:
        path = fault.path
        while path and dig(item.manifest, *path) is None:
            path = path[:-1]
        written.append(Fault(f"{dotted(fault.path)}: {fault.message}", item.locate(path)))
    return ManifestError(item.ref, written)
