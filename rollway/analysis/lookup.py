"""Find templates and runs of analyses in a store, and their secrets.

It imports nothing of the language and the providers, so that looking costs little where there are none.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from typing import TYPE_CHECKING, Any

from rollway.analysis.spec import CLUSTER_TEMPLATE, TEMPLATE, Reference
from rollway.routers.errors import AmbiguousError, NotFoundError
from rollway.routers.model import ROLLOUT_GROUP, ROLLOUT_KIND
from rollway.routers.objects import Need, dig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.analysis.providers.protocol import Credentials
    from rollway.analysis.spec import SecretKey
    from rollway.routers.objects import Live, LiveObject
    from rollway.routers.stores import Store

TEMPLATES = (TEMPLATE, CLUSTER_TEMPLATE)


def read_live(store: Store, namespace: str = "", *further: str) -> Live:
    """Return the templates of a namespace (empty: of the store), and its objects of further kinds of Argo Rollouts.

    Raises:
        StoreError: the store cannot be read.
    """
    needs = [
        Need(
            ROLLOUT_GROUP,
            kind,
            namespace="" if kind == CLUSTER_TEMPLATE else namespace,
            required=False,
            tolerant=True,
        )
        for kind in (*TEMPLATES, *further)
    ]
    return store.read(needs)


def objects(live: Live, kind: str, namespace: str = "") -> list[LiveObject]:
    """Return the objects of a kind in order of their names; a template of the cluster has any namespace."""
    wanted = "" if kind == CLUSTER_TEMPLATE else namespace
    items = (item for item in live.of(ROLLOUT_GROUP, kind) if wanted in ("", item.ref.namespace))
    return sorted(
        (item for item in items if not item.is_copy), key=lambda item: (item.ref.namespace, item.ref.name)
    )


def has_analyses(live: Live) -> bool:
    """Return whether a Rollout among some objects asks for an analysis."""
    return any('"templateName"' in json.dumps(item.manifest) for item in objects(live, ROLLOUT_KIND))


def find(live: Live, kind: str, name: str, namespace: str) -> LiveObject:
    """Return the object of a kind and a name; without a namespace, the only one.

    Raises:
        NotFoundError: there is none.
        AmbiguousError: several namespaces have one.
    """
    items = [item for item in objects(live, kind, namespace) if item.ref.name == name]
    if not items:
        known = ", ".join(dict.fromkeys(item.ref.name for item in objects(live, kind, namespace)))
        raise NotFoundError(f"{kind} {name} not found", hint=f"there is {known}" if known else "")
    if len(items) > 1:
        raise AmbiguousError(
            f"{kind} {name} is in the namespaces {', '.join(item.ref.namespace for item in items)}",
            hint="name it with -n",
        )
    if items[0].problem:
        raise items[0].problem
    return items[0]


def reference_of(item: LiveObject) -> Reference:
    """Return how templates and Rollouts name a template."""
    return Reference(item.ref.name, item.ref.kind == CLUSTER_TEMPLATE)


def read_secret(store: Store, key: SecretKey, namespace: str, argument: str) -> str:
    """Return a secret value for an argument.

    Raises:
        NotFoundError: there is no such Secret, or no such key in it.
        StoreError: the store cannot be read.
    """
    hint = f"or give the value: --arg {argument}=VALUE"
    try:
        values = _secret(store, key.name, namespace)
    except NotFoundError as error:
        raise NotFoundError(error.message, hint=hint) from None
    if key.key not in values:
        raise NotFoundError(f"key {key.key!r} does not exist in Secret {namespace}/{key.name}", hint=hint)
    return values[key.key]


def read_credentials(
    store: Store,
    wanted: Credentials,
    settings: Mapping[str, Any],
    namespaces: tuple[str, str],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Return the credentials of a provider, from the environment or from the Secret that the settings name.

    `namespaces` are those of the analysis and of the controller.

    Raises:
        NotFoundError: there is no such Secret, or a key is missing in it.
        StoreError: the store cannot be read.
    """
    named = dig(settings, *wanted.setting)
    keys = (*wanted.required, *wanted.optional)
    if wanted.prefix and not named:
        variables = {key: wanted.prefix + key.upper().replace("-", "_") for key in keys}
        found = {key: environment[name] for key, name in variables.items() if environment.get(name)}
        if all(key in found for key in wanted.required):
            return found
    own = bool(wanted.own_namespace and dig(settings, *wanted.own_namespace))
    name, namespace = named or wanted.secret, namespaces[0] if own else namespaces[1]
    values = _secret(store, name, namespace)
    missing = [key for key in wanted.required if not values.get(key)]
    if missing:
        raise NotFoundError(f"Secret {namespace}/{name} has no {', '.join(missing)}")
    return {key: values[key] for key in keys if values.get(key)}


def _secret(store: Store, name: str, namespace: str) -> dict[str, str]:
    """Return the texts in a Secret; what is none is left out."""
    need = Need("", "Secret", name, namespace)
    manifest = store.read([need])[need.ref].manifest
    values = {}
    for key, encoded in (manifest.get("data") or {}).items():
        with contextlib.suppress(TypeError, ValueError, binascii.Error):
            values[key] = base64.b64decode(encoded, validate=True).decode()
    return {**values, **(manifest.get("stringData") or {})}
