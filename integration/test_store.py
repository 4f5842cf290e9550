"""The cluster store: how it connects, what it writes, and its errors, each with what a person needs to know."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING

import jwt
import pytest
import yaml

import manifests as m
from harness import shop
from harness.control_plane import ISSUER
from harness.fault_proxy import Fault, fault_proxy
from harness.tunnel import tunnel
from harness.webhook import WORDS, refusing_webhook
from rollway.routers.errors import (
    AdmissionError,
    ApplyError,
    ConflictError,
    CredentialsError,
    ForbiddenError,
    ForeignOwnerError,
    NotFoundError,
    NotServedError,
    UnreachableError,
)
from rollway.routers.lookup import read_rollout
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.plan import Action, Change
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split
from running import rollway

if TYPE_CHECKING:
    from pathlib import Path

    from harness.control_plane import ControlPlane
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.kubelets


INGRESS = "networking.k8s.io/v1", "Ingress", "shop-web-canary"


@pytest.fixture
def nginx(namespace: Namespace) -> Namespace:
    """A namespace with the shop behind ingress-nginx."""
    shop.put(namespace, shop.NGINX)
    return namespace


# -- what is written


def test_what_is_ours_is_applied_and_belongs_to_the_rollout(nginx: Namespace) -> None:
    """A managed object is applied by the field manager `rollway` alone, and its controller is the Rollout."""
    nginx.router().set_weight(20)
    metadata = nginx.get(*INGRESS)["metadata"]
    assert [(entry["manager"], entry["operation"]) for entry in metadata["managedFields"]] == [
        ("rollway", "Apply")
    ]
    rollout = nginx.get("argoproj.io/v1alpha1", "Rollout", "shop")
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == [rollout["metadata"]["uid"]]
    assert metadata["ownerReferences"][0]["controller"]


def test_a_field_of_another_manager_is_a_conflict_that_names_both(nginx: Namespace) -> None:
    """A weight that kubectl set is not overwritten: the error names manager and field; --adopt takes it over for good."""
    router = nginx.router()
    router.set_weight(20)
    annotation = {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary-weight": "33"}}}
    live = nginx.get(*INGRESS)
    nginx.api.merge(live, annotation, manager="kubectl-annotate")
    with pytest.raises(ForeignOwnerError, match=r"canary-weight.*kubectl-annotate"):
        router.set_weight(40)
    assert router.observe().traffic == Traffic(Split(33))
    router.set_weight(40, adopt=True)
    router.set_weight(50)
    assert router.observe().traffic == Traffic(Split(50))


def test_a_key_that_we_no_longer_want_goes_whoever_set_it(nginx: Namespace) -> None:
    """`canary-weight-total` is removed when it is not wanted, also when somebody else wrote it; other keys stay."""
    router = nginx.router()
    router.set_weight(20)
    added = {"nginx.ingress.kubernetes.io/canary-weight-total": "1000", "example.com/note": "keep"}
    nginx.api.merge(nginx.get(*INGRESS), {"metadata": {"annotations": added}}, manager="kubectl-annotate")
    router.set_weight(20)
    annotations = nginx.get(*INGRESS)["metadata"]["annotations"]
    assert "nginx.ingress.kubernetes.io/canary-weight-total" not in annotations
    assert annotations["example.com/note"] == "keep"


def test_an_object_of_argo_is_taken_over_and_given_back(namespace: Namespace) -> None:
    """A canary Ingress of another controller is adopted by name only; when a later write fails, and after a reset, it is as before."""
    shop.put(namespace, {**shop.NGINX, **shop.SMI})
    theirs = m.ingress(
        "shop-web-canary", metadata={"annotations": {"nginx.ingress.kubernetes.io/canary": "true"}}
    )
    # Where controllers run, they delete objects whose owner does not exist.
    labels = {"app": "x"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    x = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": namespace.name},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pods},
    }
    uid = namespace.api.put(x)["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": uid, "controller": True}
    theirs["metadata"]["ownerReferences"] = [owner]
    namespace.put(theirs)
    before = namespace.objects()
    router = namespace.router()
    with pytest.raises(ForeignOwnerError, match="is controlled by Deployment x"):
        router.set_weight(20)
    with (
        refusing_webhook(namespace, "trafficsplits", "virtualservices"),
        pytest.raises(ApplyError, match=WORDS),
    ):
        router.set_weight(20, adopt=True)
    after = {ref: found for ref, found in namespace.objects().items() if ref.name != "webhook-probe"}
    assert after == before
    router.set_weight(20, adopt=True)
    router.set_weight(30)
    assert [found["kind"] for found in namespace.get(*INGRESS)["metadata"]["ownerReferences"]] == ["Rollout"]
    assert router.observe().traffic == Traffic(Split(30))
    router.reset()
    ref = next(ref for ref in before if ref.name == INGRESS[-1])
    assert namespace.objects()[ref] == before[ref]


def test_a_creation_that_lost_the_race_changes_nothing(nginx: Namespace) -> None:
    """An object that somebody else creates between reading and writing stays exactly theirs."""
    router = nginx.router()
    plan = router.plan(20)
    assert plan is not None
    theirs = m.ingress("shop-web-canary", "shop.example.com", m.path("shop-canary"))
    nginx.put(theirs)
    before = nginx.get(*INGRESS)
    with pytest.raises(ForeignOwnerError, match="has no owner that rollway knows"):
        router.apply(plan)
    after = nginx.get(*INGRESS)
    for found in (before, after):
        for key in ("managedFields", "resourceVersion", "generation"):
            found["metadata"].pop(key, None)
    assert after == before


def test_what_was_deleted_is_put_back_with_all_that_it_had(namespace: Namespace) -> None:
    """When the second deletion of a reset fails, the first object comes back, foreign fields included, and stays ours."""
    shop.put(namespace, {**shop.NGINX, **shop.SMI})
    router = namespace.router()
    router.set_weight(0)
    note = {"metadata": {"annotations": {"example.com/note": "keep"}}}
    namespace.api.merge(namespace.get(*INGRESS), note, manager="somebody")
    before = namespace.objects()
    with (
        refusing_webhook(namespace, "trafficsplits", "virtualservices"),
        pytest.raises(ApplyError, match="put back"),
    ):
        router.reset()
    assert {ref: found for ref, found in namespace.objects().items() if ref.name != "webhook-probe"} == before
    router.set_weight(30)
    assert namespace.get(*INGRESS)["metadata"]["annotations"]["example.com/note"] == "keep"


def test_an_edit_elsewhere_in_a_shared_object_survives(namespace: Namespace) -> None:
    """A VirtualService is patched: what somebody changed after the reading stays, as long as no route moved."""
    shop.put(namespace, shop.ISTIO)
    router = namespace.router()
    plan = router.plan(20)
    assert plan is not None
    live = namespace.get("networking.istio.io/v1", "VirtualService", "web")
    namespace.api.merge(live, {"spec": {"hosts": ["shop.example.com", "more.example.com"]}})
    router.apply(plan)
    spec = namespace.get("networking.istio.io/v1", "VirtualService", "web")["spec"]
    assert spec["hosts"] == ["shop.example.com", "more.example.com"]
    assert [entry["weight"] for entry in spec["http"][0]["route"]] == [80, 20]


def test_server_side_dry_run_asks_admission_and_stores_nothing(nginx: Namespace) -> None:
    """--dry-run=server changes no object, and reports the answer of a webhook."""
    before = nginx.objects()
    ran = rollway("set-weight", "shop", "20", "--dry-run=server")
    assert (ran.code, "the cluster would take it" in ran.stdout) == (0, True)
    assert nginx.objects() == before
    with refusing_webhook(nginx, "ingresses"):
        ran = rollway("set-weight", "shop", "20", "--dry-run=server")
        assert (ran.code, WORDS in ran.stderr) == (4, True)
        assert rollway("set-weight", "shop", "20", "--dry-run").code == 0


# -- errors


def test_forbidden_names_verb_resource_and_namespace(nginx: Namespace) -> None:
    """A role without rights: the error names the verb, the resource and the namespace, and how to get the role."""
    ran = rollway("set-weight", "shop", "20", "--as", "nobody")
    assert ran.code == 1
    assert f"lacks the verb get on rollouts.argoproj.io shop in namespace {nginx.name}" in ran.stderr
    assert "rollway rbac" in ran.stderr


def test_impersonation_of_user_and_groups(nginx: Namespace) -> None:
    """--as and --as-group are sent: as a group of administrators everything works, and the kubeconfig's `as` counts too."""
    words = ("status", "shop", "--as", "ann")
    assert rollway(*words).code == 1
    assert rollway(*words, "--as-group", "other", "--as-group", "system:masters").code == 0
    config = yaml.safe_load(nginx.kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "ann"}
    nginx.kubeconfig.write_text(yaml.safe_dump(config))
    assert 'User "ann"' in rollway("status", "shop").stderr
    assert rollway("status", "shop", "--as", "bob", "--as-group", "system:masters").code == 0


def test_a_token_that_is_wrong_or_expired(nginx: Namespace, control_plane: ControlPlane) -> None:
    """An unknown and an expired token end with an error about the credentials, not about rights."""
    claims = {
        "iss": ISSUER,
        "sub": f"system:serviceaccount:{nginx.name}:ci",
        "aud": [ISSUER],
        "exp": time.time() - 60,
    }
    expired = jwt.encode(claims, control_plane.signing_key, algorithm="ES256")
    for token in ("nonsense", expired):
        path = nginx.kubeconfig_with("stranger", token=token)
        with pytest.raises(CredentialsError, match="does not accept the credentials"):
            nginx.router(kubeconfig=path)
        ran = rollway("status", "shop", "--kubeconfig", str(path))
        assert (ran.code, "log in again" in ran.stderr) == (1, True)


def test_an_unreachable_server(nginx: Namespace) -> None:
    """A server that does not answer ends with an error that names it, and what to check."""
    path = nginx.kubeconfig_with("nowhere", server="http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 does not answer"):
        nginx.router(kubeconfig=path)


def test_a_certificate_that_is_not_trusted(nginx: Namespace) -> None:
    """A server with another certificate than the kubeconfig's is not trusted, and gets no second request."""
    config = yaml.safe_load(nginx.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    nginx.kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(CredentialsError, match="cannot be trusted"):
        nginx.router()


def test_admission_refusals_have_the_words_of_the_webhook(nginx: Namespace) -> None:
    """A webhook that refuses is quoted, the exit code is 4, and nothing is changed."""
    with refusing_webhook(nginx, "ingresses"):
        with pytest.raises(AdmissionError, match=WORDS):
            nginx.router().set_weight(20)
        ran = rollway("set-weight", "shop", "20")
        assert (ran.code, WORDS in ran.stderr) == (4, True)
    assert nginx.router().set_weight(20).changed


def test_a_webhook_that_fails_is_an_admission_error(nginx: Namespace) -> None:
    """A webhook that does not work stops the write as if it refused, and the error reports that it failed."""
    with (
        refusing_webhook(nginx, "ingresses", answering=False),
        pytest.raises(AdmissionError, match="failed calling webhook"),
    ):
        nginx.router().set_weight(20)


def test_an_object_that_the_schema_refuses(nginx: Namespace) -> None:
    """What the API server's own validation refuses is a refusal with the server's words."""
    nginx.api.edit(nginx.get("argoproj.io/v1alpha1", "Rollout", "shop"), _bad_annotation)
    with pytest.raises(AdmissionError, match="annotations"):
        nginx.router().set_weight(20)


def _bad_annotation(rollout: Manifest) -> None:
    routing = rollout["spec"]["strategy"]["canary"]["trafficRouting"]["nginx"]
    routing["additionalIngressAnnotations"] = {"not a/valid key": "x"}


def test_a_field_that_the_crd_does_not_have_is_refused_instead_of_dropped(namespace: Namespace) -> None:
    """A patch whose field the API server would prune, as old CRDs do with names of rules, is refused and changes nothing."""
    namespace.put(m.http_route())
    ref = ObjectRef("gateway.networking.k8s.io", "HTTPRoute", namespace.name, "web")
    store = namespace.store()
    need = Need(ref.group, ref.kind, ref.name, ref.namespace)
    before = store.read([need])[ref]
    patch = ({"op": "add", "path": "/spec/rules/0/title", "value": "beta"},)
    with pytest.raises(AdmissionError, match=r'unknown field "spec.rules\[0\].title"'):
        store.write(Change(Action.PATCH, ref, before.manifest, before.manifest, patch))
    assert store.read([need])[ref].version == before.version


def test_a_namespace_that_is_being_deleted(nginx: Namespace) -> None:
    """In a namespace that is being deleted nothing can be created, and the error gives this reason."""
    nginx.api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": nginx.name}})
    with pytest.raises(AdmissionError, match="being terminated"):
        nginx.router().set_weight(20)


def test_missing_objects_are_all_named(namespace: Namespace) -> None:
    """Everything that is required and missing is named at once."""
    namespace.put(m.rollout({**shop.NGINX, **shop.ISTIO}))
    with pytest.raises(
        NotFoundError, match=rf"Ingress {namespace.name}/web, VirtualService {namespace.name}/web not found"
    ):
        namespace.router().set_weight(20)
    ran = rollway("status", "shpo")
    assert (ran.code, "shpo not found" in ran.stderr) == (1, True)
    assert "did you mean shop? Rollout here: shop" in ran.stderr


def test_a_cluster_without_the_crds(nginx: Namespace, control_plane: ControlPlane, scratch: Path) -> None:
    """Without a CRD the error names what to install; the Rollout can come from a file; a CRD that is installed later is found."""
    rollouts = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    crd = nginx.api.get({**rollouts, "metadata": {"name": "rollouts.argoproj.io"}})
    assert crd is not None
    (scratch / "rollout.yaml").write_text(yaml.safe_dump(m.placed(m.rollout(shop.NGINX), nginx.name)))
    nginx.api.delete(crd)
    try:
        _wait(lambda: "rollouts" not in _resources(nginx))
        os.environ["KUBECACHEDIR"] = str(scratch / "cache")
        ran = rollway("set-weight", "shop", "20")
        assert (ran.code, "does not serve Rollout.argoproj.io" in ran.stderr) == (1, True)
        assert "-f FILE" in ran.stderr
        ran = rollway("set-weight", "shop", "20", "-f", "rollout.yaml")
        assert ran.code == 0, ran.stderr
        assert "ownerReferences" not in nginx.get(*INGRESS)["metadata"]
    finally:
        nginx.api.install([_fresh(crd)])
    nginx.put(m.rollout(shop.NGINX))
    ran = rollway("set-weight", "shop", "30")
    assert ran.code == 0, ran.stderr
    assert nginx.get(*INGRESS)["metadata"]["ownerReferences"]


def _fresh(crd: Manifest) -> Manifest:
    metadata = {"name": crd["metadata"]["name"], "annotations": crd["metadata"].get("annotations", {})}
    return {"apiVersion": crd["apiVersion"], "kind": crd["kind"], "metadata": metadata, "spec": crd["spec"]}


def _resources(namespace: Namespace) -> list[str]:
    from rollway.routers.kube.failures import RequestInfo

    path = "/apis/argoproj.io/v1alpha1"
    answer = namespace.api.connection.request("GET", path, RequestInfo("get", path))
    return [resource["name"] for resource in answer.body["resources"]]


def _wait(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_required_kind_that_is_not_served(namespace: Namespace) -> None:
    """A kind that nothing serves is an error when it is required, and nothing when it is not."""
    store = namespace.store()
    assert not store.read([Need("example.com", "Nothing", "x", namespace.name, required=False)])
    with pytest.raises(NotServedError, match=r"Nothing\.example\.com"):
        store.read([Need("example.com", "Nothing", "x", namespace.name)])


# -- connecting


def test_a_rollout_from_a_file_belongs_to_the_one_in_the_cluster(nginx: Namespace, scratch: Path) -> None:
    """With -f the Rollout's uid still comes from the cluster where it exists, so what is made goes with it."""
    (scratch / "rollout.yaml").write_text(yaml.safe_dump(m.placed(m.rollout(shop.NGINX), nginx.name)))
    assert rollway("set-weight", "shop", "20", "-f", "rollout.yaml").code == 0
    assert nginx.get(*INGRESS)["metadata"]["ownerReferences"][0]["name"] == "shop"


def test_merged_kubeconfigs_and_contexts(
    nginx: Namespace, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KUBECONFIG may list several files: the first to name a current context decides, and --context picks another."""
    config = yaml.safe_load(nginx.kubeconfig.read_text())
    (scratch / "users").write_text(
        yaml.safe_dump({**config, "contexts": [], "clusters": [], "current-context": ""})
    )
    other = {"name": "other", "context": {**config["contexts"][0]["context"], "namespace": "elsewhere"}}
    (scratch / "rest").write_text(
        yaml.safe_dump(
            {**config, "users": [], "contexts": [*config["contexts"], other], "current-context": "admin"}
        )
    )
    (scratch / "last").write_text(yaml.safe_dump({"current-context": "other"}))
    monkeypatch.setenv(
        "KUBECONFIG", os.pathsep.join(str(scratch / name) for name in ("none", "users", "rest", "last"))
    )
    assert rollway("status", "shop").code == 0
    ran = rollway("status", "shop", "--context", "other")
    assert "elsewhere" in ran.stderr
    assert rollway("status", "shop", "--context", "other", "-n", nginx.name).code == 0
    ran = rollway("status", "shop", "--context", "absent")
    assert (ran.code, "absent" in ran.stderr, "Traceback" in ran.stderr) == (1, True, False)


def test_a_token_of_an_exec_plugin(nginx: Namespace, scratch: Path) -> None:
    """Credentials of an exec plugin are used."""
    config = yaml.safe_load(nginx.kubeconfig.read_text())
    token = config["users"][0]["user"]["token"]
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token},
    }
    plugin = scratch / "plugin"
    plugin.write_text(f"#!{sys.executable}\nprint({json.dumps(credential)!r})\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    spec = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    config["users"][0]["user"] = {"exec": spec}
    nginx.kubeconfig.write_text(yaml.safe_dump(config))
    ran = rollway("set-weight", "shop", "20")
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("through", ["proxy-url", "HTTPS_PROXY"])
def test_a_proxy_on_the_way(through: str, nginx: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the kubeconfig or the environment names is used, with TLS through it to the API server."""
    with tunnel() as (address, asked):
        if through == "HTTPS_PROXY":
            monkeypatch.setenv("HTTPS_PROXY", address)
        else:
            config = yaml.safe_load(nginx.kubeconfig.read_text())
            config["clusters"][0]["cluster"]["proxy-url"] = address
            nginx.kubeconfig.write_text(yaml.safe_dump(config))
        ran = rollway("set-weight", "shop", "20")
    assert ran.code == 0, ran.stderr
    assert asked
    assert all(line.startswith("CONNECT 127.0.0.1:") for line in asked)


def test_in_cluster_credentials(nginx: Namespace, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig a pod's ServiceAccount is used, with its own namespace."""
    from rollway.routers.kube import kubeconfig

    config = yaml.safe_load(nginx.kubeconfig.read_text())
    (scratch / "token").write_text(config["users"][0]["user"]["token"])
    import base64

    (scratch / "ca.crt").write_bytes(
        base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
    )
    (scratch / "namespace").write_text(nginx.name)
    # In a pod the three files are at a fixed place, where a test must not write.
    monkeypatch.setattr(kubeconfig, "_SERVICE_ACCOUNT", str(scratch))
    host, port = config["clusters"][0]["cluster"]["server"].removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("KUBECONFIG", str(scratch / "none"))
    ran = rollway("set-weight", "shop", "20")
    assert ran.code == 0, ran.stderr


def test_discovery_is_kept_on_disk_and_refreshed(
    nginx: Namespace, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second command asks for no API groups; a kept file that lacks a kind is refreshed; a broken one is ignored."""
    monkeypatch.setenv("KUBECACHEDIR", str(scratch))
    with fault_proxy(nginx.api.connection) as proxy:
        path = nginx.kubeconfig_with("proxied", server=proxy.address)
        groups = [0]
        for _ in range(2):
            proxy.requests.clear()
            nginx.router(kubeconfig=path).observe()
            groups.append(sum(request == ("GET", "/apis") for request in proxy.requests))
        assert groups == [0, 1, 0]
        (kept,) = (scratch / "rollway").iterdir()
        content = json.loads(kept.read_text())
        del content["groups"]["argoproj.io"]
        for text in (json.dumps(content), "{", "[]", ""):
            kept.write_text(text)
            nginx.router(kubeconfig=path).observe()
        assert "argoproj.io" in json.loads(kept.read_text())["groups"]


def test_a_server_without_aggregated_discovery(nginx: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older server, which lists its groups and resources one by one, is understood as well."""
    from rollway.routers.kube import discovery

    monkeypatch.setattr(discovery, "_AGGREGATED", "application/json")
    store = nginx.store(cache=False)
    rollout = read_rollout(store, "shop", nginx.name)
    assert TrafficRouter(rollout, store).set_weight(20).changed
    assert store.client.discovery.served()["networking.istio.io"][0] == "v1"


def test_request_timeout_is_kept(nginx: Namespace) -> None:
    """--request-timeout bounds a request to a server that accepts it and does not answer."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        path = nginx.kubeconfig_with("silent", server=f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        ran = rollway("status", "shop", "--kubeconfig", str(path), "--request-timeout", "200ms")
        assert (ran.code, "does not answer" in ran.stderr) == (1, True)
        assert time.monotonic() - started < 10
    assert rollway("status", "shop", "--request-timeout", "soon").code == 2


def test_lists_come_page_by_page(nginx: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list longer than a page is read to its end."""
    from rollway.routers.kube import client

    for index in range(7):
        nginx.put(m.ingress(f"other-{index}", f"{index}.example.com"))
    monkeypatch.setattr(client, "_PAGE", 3)
    live = nginx.store().read([Need("networking.k8s.io", "Ingress", namespace=nginx.name, required=False)])
    assert len(live) == 8


def test_two_writers_conflict_and_both_are_told_the_truth(nginx: Namespace) -> None:
    """A plan that is overtaken by another write is a conflict for the store, and the engine plans again."""
    first, second = nginx.router(), nginx.router()
    first.set_weight(10)
    plan = first.plan(20)
    assert plan is not None
    second.set_weight(30)
    with pytest.raises(ConflictError):
        first.store.write(plan.changes[0])
    assert first.apply(plan).changed
    assert second.observe().traffic == Traffic(Split(20))


def test_forbidden_lists_narrow_to_the_namespace(nginx: Namespace) -> None:
    """A role in one namespace checks the Ingresses of that namespace, and the answer states that it saw no others."""
    nginx.bind("ClusterRole", "cluster-admin", "ann")
    ran = rollway("set-weight", "shop", "20", "--as", "ann")
    assert ran.code == 0, ran.stderr
    assert "only those of namespace" in ran.stderr
    with pytest.raises(ForbiddenError):
        ClusterStore.open(str(nginx.kubeconfig), user="bob").read(
            [Need("networking.k8s.io", "Ingress", required=False)]
        )


def test_a_ref_is_found_by_name_in_any_namespace(nginx: Namespace) -> None:
    """A need without a namespace looks in all of them."""
    live = nginx.store().read([Need("argoproj.io", "Rollout", "shop")])
    assert ObjectRef("argoproj.io", "Rollout", nginx.name, "shop") in live


def test_a_kept_version_that_is_no_longer_served_is_looked_up(
    nginx: Namespace, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of API versions that is out of date costs one more request: the version is asked for, or the kind is gone."""
    monkeypatch.setenv("KUBECACHEDIR", str(scratch))
    nginx.router().observe()
    (kept,) = (scratch / "rollway").iterdir()
    content = json.loads(kept.read_text())
    rollouts = content["groups"]["argoproj.io"]
    content["groups"]["argoproj.io"] = {"v9": rollouts["v1alpha1"]}
    content["groups"]["discovery.k8s.io"] = {"v9": content["groups"]["discovery.k8s.io"]["v1"]}
    content["groups"]["example.com"] = {"v1": {"Nothing": ["nothings", True]}}
    kept.write_text(json.dumps(content))
    store = nginx.store()
    assert not store.read([Need("example.com", "Nothing", "x", nginx.name, required=False)])
    kept.write_text(json.dumps(content))
    assert nginx.router().set_weight(20).changed
    assert "v1alpha1" in json.loads(kept.read_text())["groups"]["argoproj.io"]


def test_the_whole_identity_of_a_kubeconfig_is_impersonated(nginx: Namespace) -> None:
    """`as`, `as-groups`, `as-uid` and `as-user-extra` all arrive, as kubectl sends them."""
    from rollway.routers.kube.failures import RequestInfo

    config = yaml.safe_load(nginx.kubeconfig.read_text())
    config["users"][0]["user"] |= {
        "as": "ann",
        "as-groups": ["red", "blue"],
        "as-uid": "u-1",
        "as-user-extra": {"example.com/reason": ["night", "shift"]},
    }
    nginx.kubeconfig.write_text(yaml.safe_dump(config))
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = nginx.store().connection.request(
        "POST", path, RequestInfo("create", "selfsubjectreviews"), body=review
    )
    seen = answer.body["status"]["userInfo"]
    assert (seen["username"], seen["uid"]) == ("ann", "u-1")
    assert {"red", "blue"} <= set(seen["groups"])
    assert seen["extra"]["example.com/reason"] == ["night", "shift"]


def test_a_list_that_takes_too_long_is_begun_again(nginx: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that the server no longer has starts the list anew; a list that never ends is an error."""
    from rollway.routers.kube import client
    from rollway.routers.kube.failures import ExpiredError

    for index in range(4):
        nginx.put(m.ingress(f"other-{index}", f"{index}.example.com"))
    monkeypatch.setattr(client, "_PAGE", 2)
    need = Need("networking.k8s.io", "Ingress", namespace=nginx.name, required=False)
    with fault_proxy(nginx.api.connection) as proxy:
        store = nginx.store(kubeconfig=nginx.kubeconfig_with("proxied", server=proxy.address))
        proxy.faults = [Fault("status", 1, ("GET",), 410, path="continue=")]
        assert len(store.read([need])) == 5
        proxy.faults = [Fault("status", 99, ("GET",), 410, path="continue=")]
        with pytest.raises(ExpiredError):
            store.read([need])
        store.close()


def test_an_event_whose_answer_got_lost_is_not_written_twice(nginx: Namespace) -> None:
    """The Event is repeated under its own name, so it is there once, and the command does not complain."""
    with fault_proxy(nginx.api.connection) as proxy:
        path = nginx.kubeconfig_with("proxied", server=proxy.address)
        proxy.faults = [Fault("lost", 1, ("POST",), path="/events")]
        ran = rollway("set-weight", "shop", "20", "--kubeconfig", str(path))
        assert (ran.code, "Event" in ran.stderr) == (0, False)
        assert len(nginx.events()) == 1
        proxy.faults = [Fault("reset", 99, ("POST",), path="/events")]
        ran = rollway("set-weight", "shop", "30", "--kubeconfig", str(path))
        assert (ran.code, "the Event about it was not written" in ran.stderr) == (0, True)
