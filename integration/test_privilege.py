"""`rollway rbac`: with the Role that it prints every verb works, and without any one permission of it some verb fails."""

from __future__ import annotations

import copy
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness import shop
from harness.waiting import until
from rollway.routers import rbac
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

VERBS = (
    (["status", "shop"], 0),
    (["plan", "shop", "20"], 3),
    (["set-weight", "shop", "20"], 0),
    (["verify", "shop", "20"], 0),
    (["render", "shop", "50"], 0),
    (["lint", "shop"], 0),
    (["ramp", "shop", "20..60", "--step", "20", "--every", "0s"], 0),
    (["switch", "shop", "canary"], 0),
    (["gitops", "shop", "--for", "argocd"], 0),
    (["rbac", "shop"], 0),
    (["reset", "shop"], 0),
)


@pytest.fixture
def account(namespace: Namespace) -> Path:
    """A ServiceAccount without any right, as a kubeconfig."""
    metadata = {"name": "ci", "namespace": namespace.name}
    namespace.api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    return namespace.kubeconfig_with("ci", token=namespace.api.token(namespace.name, "ci"))


def printed(namespace: Namespace) -> list[Manifest]:
    """Return what `rollway rbac` prints, in both forms the same."""
    ran = rollway("rbac", "shop", "--serviceaccount", "ci", "-o", "json")
    items: list[Manifest] = json.loads(ran.stdout)["items"]
    assert (
        list(yaml.safe_load_all(rollway("rbac", "shop", "--serviceaccount", f"{namespace.name}:ci").stdout))
        == items
    )
    return items


def outcome(kubeconfig: Path) -> str:
    """Run every verb and return the first that does not end as it should, or reports less, with what it printed."""
    for words, code in VERBS:
        ran = rollway(*words, "--kubeconfig", str(kubeconfig))
        # Without Events `status` and the writing verbs go on, and a note reports it.
        if ran.code != code or "is not known" in ran.stderr or "was not written" in ran.stderr:
            return f"{words[0]}: {ran.stderr}"
    return ""


def settled(kubeconfig: Path, *, works: bool) -> str:
    """Run the verbs until they all work, or until one fails: the API server learns of a Role a moment later."""
    deadline = time.monotonic() + 60
    while True:
        found = outcome(kubeconfig)
        if works == (not found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.kubelets if name == "nginx" else ()) for name in shop.ROUTINGS],
)
def test_the_least_role_is_enough(name: str, namespace: Namespace, account: Path) -> None:
    """With the printed Role alone, bound to a ServiceAccount, every verb works for that Rollout."""
    shop.put(namespace, shop.ROUTINGS[name])
    assert "lacks the verb" in outcome(account)
    for manifest in printed(namespace):
        namespace.api.put(manifest)
    assert not settled(account, works=True)


def test_the_least_role_carries_a_header_route_of_a_mesh(namespace: Namespace, account: Path) -> None:
    """With the printed Role the HTTPRouteGroup comes before the split refers to it, belongs to the Rollout, and goes."""
    shop.put(namespace, {**shop.SMI, "managedRoutes": [{"name": "beta"}]})
    for manifest in printed(namespace):
        namespace.api.put(manifest)
    assert not settled(account, works=True)
    where = ("--kubeconfig", str(account))
    words = ("header-route", "shop", "set", "beta", "--header", "X-Beta: yes", "--path-prefix", "/cart")
    done = rollway(*words, "--allow", "smi-matches-unproven", *where)
    assert done.code == 0, done
    group = namespace.get("specs.smi-spec.io/v1alpha3", "HTTPRouteGroup", "shop-header-route")
    split = namespace.get("split.smi-spec.io/v1alpha3", "TrafficSplit", "shop")
    assert group["metadata"]["ownerReferences"] == split["metadata"]["ownerReferences"]
    assert split["spec"]["matches"] == [{"kind": "HTTPRouteGroup", "name": "shop-header-route"}]
    assert group["spec"]["matches"] == [
        {"name": "beta-1", "pathRegex": "/cart.*", "headers": [{"X-Beta": "^yes$"}]}
    ]
    assert rollway("verify", "shop", "0", "--allow", "smi-matches-unproven", *where).code == 0
    assert rollway("reset", "shop", *where).code == 0
    kinds = {ref.kind for ref in namespace.objects()}
    assert kinds.isdisjoint({"HTTPRouteGroup", "TrafficSplit"})


def permissions(role: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield the role without one permission at a time: one verb on one resource, by name where there are names."""
    for index, rule in enumerate(role["rules"]):
        for verb, name in itertools.product(rule["verbs"], rule.get("resourceNames", [""])):
            less: Any = copy.deepcopy(role)
            rest = []
            others = [other for other in rule["verbs"] if other != verb]
            if others:
                rest.append({**rule, "verbs": others})
            names = [other for other in rule.get("resourceNames", []) if other != name]
            if names:
                rest.append({**rule, "verbs": [verb], "resourceNames": names})
            less["rules"][index : index + 1] = rest
            yield f"{verb} {rule['resources'][0]} {name}".rstrip(), less


@pytest.mark.parametrize("name", ["all", "subsets", "gateway"])
def test_no_permission_of_the_role_is_too_many(name: str, namespace: Namespace, account: Path) -> None:
    """Without any one permission of the printed Role some verb fails or reports less, and names what is missing."""
    shop.put(namespace, shop.ROUTINGS[name])
    role, binding = printed(namespace)
    namespace.api.put(binding)
    checked = 0
    for missing, less in permissions(role):
        namespace.api.put(role)
        assert not settled(account, works=True)
        namespace.api.put(less)
        failure = settled(account, works=False)
        verb, resource = missing.split()[:2]
        assert f"lacks the verb {verb} on {resource}" in failure, missing
        assert not rollway("reset", "shop", "--no-events").stderr
        checked += 1
    assert checked >= 8


RELEASE_VERBS = (
    ["get", "shop"],
    ["get", "shop", "-w", "--timeout", "0s"],
    ["list"],
    ["history", "shop"],
    ["wait", "shop", "--for", "progressing", "--timeout", "0s"],
    ["set", "image", "shop", "app=app:2"],
    ["pause", "shop"],
    ["resume", "shop"],
    ["restart", "shop"],
    ["promote", "shop", "--full"],
    ["abort", "shop"],
    ["retry", "shop"],
)


def test_the_role_of_releases_is_enough(namespace: Namespace, account: Path) -> None:
    """With the Role of `rbac --release`, the verbs about releases work as well, and without them they name what is missing."""
    shop.put(namespace, shop.ISTIO)
    like = namespace.get("argoproj.io/v1alpha1", "Rollout", "shop")
    namespace.api.put({**like, "status": {"stableRS": "a", "currentPodHash": "b"}})
    for manifest in printed(namespace):
        namespace.api.put(manifest)
    settled(account, works=True)
    # What undoes another verb has nothing to do before that one is allowed.
    first = [words for words in RELEASE_VERBS if words[0] not in ("resume", "retry")]
    lacking = [rollway(*words, "--kubeconfig", str(account)).stderr for words in first]
    assert all("lacks the verb" in text for text in lacking), lacking
    ran = rollway("rbac", "shop", "--serviceaccount", "ci", "--release", "-o", "json")
    for manifest in json.loads(ran.stdout)["items"]:
        namespace.api.put(manifest)
    for words in RELEASE_VERBS:
        until(
            lambda words=words: not rollway(*words, "--kubeconfig", str(account)).stderr,  # type: ignore[misc]
            f"{' '.join(words)} works",
            20,
        )


def test_plurals_are_those_of_the_server(namespace: Namespace) -> None:
    """The resources that a Role names are guessed from the kinds, and the server uses the same names."""
    discovery = namespace.store().client.discovery
    shop.put(namespace, shop.ALL)
    kinds = {
        ("argoproj.io", "Rollout"),
        ("networking.k8s.io", "Ingress"),
        ("networking.istio.io", "VirtualService"),
        ("networking.istio.io", "DestinationRule"),
        ("split.smi-spec.io", "TrafficSplit"),
        ("specs.smi-spec.io", "HTTPRouteGroup"),
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("gateway.networking.k8s.io", "GRPCRoute"),
        ("gateway.networking.k8s.io", "TLSRoute"),
        ("gateway.networking.k8s.io", "TCPRoute"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("", "Service"),
        ("", "Pod"),
    }
    for group, kind in kinds:
        assert rbac.plural(kind) == discovery.resource(group, kind).plural


def checked(kubeconfig: Path) -> dict[str, list[str]]:
    """Run `check` and return the subjects by result."""
    ran = rollway("check", "shop", "--kubeconfig", str(kubeconfig), "-o", "json")
    results: dict[str, list[str]] = {"ok": [], "problem": [], "unknown": []}
    for each in json.loads(ran.stdout):
        results[each["result"]].append(f"{each['area']}: {each['subject']}")
    assert (ran.code == 1) == bool(results["problem"]), ran
    return results


def test_check_finds_the_right_that_a_role_lacks(namespace: Namespace, account: Path) -> None:
    """`check` reports each right that the role lacks, and with the printed Role nothing is a problem."""
    shop.put(namespace, shop.ALL)
    assert rollway("set-weight", "shop", "20").code == 0
    assert checked(account)["problem"] == ["access: Rollout shop"]
    role, binding = printed(namespace)
    namespace.api.put(binding)
    namespace.api.put(role)
    until(lambda: not checked(account)["problem"], "nothing is a problem with the printed Role", 10)
    without_patch = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]}
        if rule["resources"] == ["virtualservices"]
        else rule
        for rule in role["rules"]
    ]
    namespace.api.put({**role, "rules": without_patch})
    lacking = f"rights: virtualservices web in namespace {namespace.name}"
    until(lambda: checked(account)["problem"] == [lacking], "the missing right is a problem", 10)


def test_check_names_who_else_writes(namespace: Namespace) -> None:
    """A manager of fields that belongs to another controller is a problem; the objects and kinds are fine."""
    shop.put(namespace, shop.ISTIO)
    live = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    for key in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        live["metadata"].pop(key, None)
    namespace.api.apply(live, manager="flagger", force=True)
    ran = rollway("check", "shop", "-o", "json")
    problems = [each for each in json.loads(ran.stdout) if each["result"] == "problem"]
    assert (ran.code, [each["area"] for each in problems]) == (1, ["writers"])
    assert "Flagger writes weights of its own" in problems[0]["detail"]
