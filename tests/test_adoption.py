"""A Deployment that becomes a Rollout: what is planned for it, what stands against it, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.adoption import applying
from rollway.adoption.planning import AdoptionPlan, plan_adoption
from rollway.adoption.reading import read_surroundings
from rollway.adoption.wish import AdoptionWish, read_steps
from rollway.controller.spec_reader import SpecReader
from rollway.routers.errors import (
    AmbiguousError,
    ApplyError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    StoreError,
    UncertainError,
)
from rollway.routers.objects import ObjectRef
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest

GROUPS = {"Rollout": "argoproj.io", "Service": "", "HorizontalPodAutoscaler": "autoscaling"}


def deployment(name: str = "shop", **spec: Any) -> Manifest:
    """Return a Deployment whose three pods are all available."""
    container = {"name": "shop", "image": "shop:1"}
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [container]}}
    body = {"replicas": 3, "selector": {"matchLabels": {"app": "shop"}}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "generation": 2},
        "spec": body,
        "status": {
            "observedGeneration": 2,
            "replicas": 3,
            "updatedReplicas": 3,
            "availableReplicas": 3,
        },
    }


def autoscaler(**metadata: Any) -> Manifest:
    """Return the autoscaler of the Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop", "namespace": "default", **metadata},
        "spec": {"maxReplicas": 9, "scaleTargetRef": target},
    }


INGRESS = m.ingress("shop", None, m.path("shop"))
SERVICE = m.service("shop")


def planned(*objects: Manifest, managers: Sequence[str] = (), **wish: Any) -> AdoptionPlan:
    """Return the plan for the Deployment `shop` among some objects of a running cluster."""
    return plan_adoption(AdoptionWish(**wish), read_surroundings(*_around(*objects)), managers)


def _around(*objects: Manifest) -> tuple[MemoryStore, str, str, Any]:
    store = MemoryStore([deployment(), *objects], running=True)
    return store, "shop", "", pytest.fail


def codes(plan: AdoptionPlan) -> list[str]:
    """Return the codes of what was found."""
    return sorted(finding.code for finding in plan.findings)


def routing(plan: AdoptionPlan) -> Manifest:
    """Return `trafficRouting` of the Rollout."""
    found: Manifest = plan.rollout["spec"]["strategy"]["canary"]["trafficRouting"]
    return found


class TestPlan:
    """The Rollout, and what comes before it."""

    @pytest.mark.parametrize(
        ("wish", "objects"),
        [
            ({}, [SERVICE, INGRESS]),
            ({}, []),
            ({"blue_green": True}, [SERVICE, INGRESS]),
            ({"template": True}, [SERVICE, INGRESS]),
            ({"routers": ("smi",)}, [SERVICE]),
            ({}, [SERVICE, m.http_route("shop", {"backendRefs": [m.backend_ref("shop")]})]),
        ],
    )
    def test_the_controller_takes_the_rollout(self, wish: dict[str, Any], objects: list[Manifest]) -> None:
        """The Rollout has no fault for the controller, nor for the routers that it names, and the pods of the Deployment."""
        plan = planned(*objects, **wish)
        reader = SpecReader(plan.rollout, None if wish.get("template") else deployment())
        spec = reader.read()
        assert not reader.faults
        assert spec is not None
        assert (spec.replicas, spec.template) == (3, deployment()["spec"]["template"])
        if "trafficRouting" in str(plan.rollout):
            parse_rollout(plan.rollout)

    def test_the_order_is_safe(self) -> None:
        """The Service comes before the route that names it, the autoscaler before the Rollout, and the Rollout is the last."""
        plan = planned(SERVICE, m.virtual_service(http=[{"route": [m.destination("shop")]}]), autoscaler())
        assert [change.ref.kind for change in plan.changes] == [
            "Service",
            "VirtualService",
            "HorizontalPodAutoscaler",
            "Rollout",
        ]
        assert codes(plan) == ["adopt-autoscaler"]

    def test_a_canary_service_that_is_there_is_used(self) -> None:
        """A Service of the canary's name with the same selector is not made again."""
        canary = {**SERVICE, "metadata": {"name": "shop-canary", "namespace": "default"}}
        assert [change.ref.kind for change in planned(SERVICE, canary, INGRESS).changes] == ["Rollout"]

    def test_a_headless_service_gets_another_one(self) -> None:
        """Addresses and ports of nodes are not copied, and a Service without an address gets one like it."""
        service = m.service("shop")
        service["spec"] |= {"clusterIP": "None", "type": "ClusterIP", "externalIPs": ["1.2.3.4"]}
        canary = planned(service, INGRESS).changes[0].after
        assert canary is not None
        assert canary["spec"].keys() == {"selector", "clusterIP", "ports"}

    def test_of_several_services_the_one_with_routes_is_stable(self) -> None:
        """Another Service of the same pods stays, and is noted."""
        metrics = {**SERVICE, "metadata": {"name": "metrics", "namespace": "default"}}
        plan = planned(SERVICE, metrics, INGRESS)
        assert plan.stable_service == "shop"
        assert codes(plan) == ["adopt-second-service"]
        with pytest.raises(AmbiguousError, match="none of them has routes"):
            planned(SERVICE, metrics)
        with pytest.raises(AmbiguousError, match="more than one has routes"):
            planned(SERVICE, metrics, INGRESS, m.ingress("metrics", "m.example.com", m.path("metrics")))
        assert planned(SERVICE, metrics, service="metrics", blue_green=True).stable_service == "metrics"

    def test_what_cannot_be_found_is_named(self) -> None:
        """A Service, a router or a Deployment that is not there is an error that names those that are."""
        with pytest.raises(NotFoundError, match="those that do: shop"):
            planned(SERVICE, service="web")
        with pytest.raises(NotFoundError, match="no Service does"):
            planned(service="web")
        with pytest.raises(NotFoundError, match="--blue-green and --router needs one"):
            planned(blue_green=True, routers=("nginx",))
        with pytest.raises(NotFoundError, match="no object of nginx leads to Service shop"):
            planned(SERVICE, routers=("nginx",))
        with pytest.raises(InvalidInputError, match="there are nginx, istio, smi, gateway, and none"):
            planned(SERVICE, routers=("envoy",))
        with pytest.raises(NotFoundError, match="Deployment web"):
            read_surroundings(MemoryStore([deployment()]), "web", "", pytest.fail)
        twice = MemoryStore([deployment(), m.placed(deployment(), "other")])
        with pytest.raises(AmbiguousError, match="default, other"):
            read_surroundings(twice, "shop", "", pytest.fail)

    def test_no_router_leaves_the_service_alone(self) -> None:
        """With `--router none` the share of the pods is the weight, and no Service is made or narrowed."""
        plan = planned(SERVICE, INGRESS, routers=("none",))
        assert [change.ref.kind for change in plan.changes] == ["Rollout"]
        assert plan.rollout["spec"]["strategy"]["canary"].keys() == {"steps"}

    def test_a_delay_needs_a_service_that_leaves_pods(self) -> None:
        """The delay stands in the strategy; where pods alone are the weight, it is refused."""
        for blue_green in (False, True):
            plan = planned(SERVICE, INGRESS, scale_down_delay=5, blue_green=blue_green)
            (strategy,) = plan.rollout["spec"]["strategy"].values()
            assert strategy["scaleDownDelaySeconds"] == 5
        with pytest.raises(InvalidInputError, match="needs a router"):
            planned(SERVICE, scale_down_delay=5)

    def test_an_id_of_another_controller(self) -> None:
        """The label names the controller; without an id there is none."""
        assert "labels" not in planned(instance_id="").rollout["metadata"]
        assert list(planned(instance_id="blue").rollout["metadata"]["labels"].values()) == ["blue"]

    def test_steps(self) -> None:
        """Weights rise, each with a pause; what is none is named."""
        assert read_steps("5, 20:10m") == [
            {"setWeight": 5},
            {"pause": {}},
            {"setWeight": 20},
            {"pause": {"duration": "10m"}},
        ]
        for text in ("20,10", "101", "0", "x", "5:soon"):
            with pytest.raises(InvalidInputError, match="is no step"):
                read_steps(text)


class TestRefusals:
    """What stands against a move."""

    @pytest.mark.parametrize(
        ("objects", "code"),
        [
            ([deployment(paused=True)], "adopt-paused"),
            ([deployment(strategy={"type": "Recreate"})], "adopt-recreate"),
            ([{**deployment(), "status": {"observedGeneration": 1}}], "adopt-rolling-out"),
            (
                [{**deployment(), "status": {**deployment()["status"], "availableReplicas": 2}}],
                "adopt-rolling-out",
            ),
            ([autoscaler(ownerReferences=[{"kind": "ScaledObject", "name": "s"}])], "adopt-autoscaler-owned"),
            ([SERVICE, INGRESS, deployment("other")], "adopt-shared-service"),
            ([m.selecting("shop", "abc"), INGRESS], "adopt-service-in-use"),
            (
                [
                    {
                        **SERVICE,
                        "metadata": {
                            **SERVICE["metadata"],
                            "annotations": {"argo-rollouts.argoproj.io/managed-by-rollouts": "web"},
                        },
                    },
                    INGRESS,
                ],
                "adopt-service-in-use",
            ),
            ([SERVICE, INGRESS, m.service("shop-canary")], "adopt-canary-service"),
            ([SERVICE, m.traffic_split(root="shop", shop=1)], "adopt-foreign-split"),
        ],
    )
    def test_a_refusal_stops_the_move_until_it_is_allowed(self, objects: list[Manifest], code: str) -> None:
        """The refusal names its code, and `--allow` with that code goes on."""
        plan = planned(*objects)
        assert code in codes(plan)
        with pytest.raises(RefusedError, match=code):
            plan.refuse()
        plan.refuse({code})

    @pytest.mark.parametrize(
        ("metadata", "managers", "name"),
        [
            ({"annotations": {"meta.helm.sh/release-name": "shop"}}, (), "Helm"),
            ({"annotations": {"argocd.argoproj.io/tracking-id": "shop"}}, (), "Argo CD"),
            ({}, ("kustomize-controller",), "Flux"),
        ],
    )
    def test_a_tool_that_writes_the_deployment(
        self, metadata: Manifest, managers: Sequence[str], name: str
    ) -> None:
        """A Deployment that comes from Git or a chart is named with the tool."""
        manifest = deployment()
        manifest["metadata"] |= metadata
        with pytest.raises(RefusedError, match=f"written by {name}.*adopt-synced"):
            planned(manifest, managers=managers).refuse()

    @pytest.mark.parametrize(
        ("name", "spec", "why"),
        [
            ("shop", {}, "has the name of the Deployment"),
            ("web", {"workloadRef": {"kind": "Deployment", "name": "shop"}}, "takes its pods from"),
        ],
    )
    def test_a_rollout_that_is_there(self, name: str, spec: Manifest, why: str) -> None:
        """A second move is refused."""
        rollout = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        with pytest.raises(RefusedError, match=why):
            planned(rollout)


class TestRoutes:
    """What the backends propose."""

    def test_ingresses_of_other_classes_and_canaries(self) -> None:
        """All Ingresses of nginx count, those of another class are noted, and canaries are left out."""
        annotations = {"annotations": {"nginx.ingress.kubernetes.io/canary": "true"}}
        plan = planned(
            SERVICE,
            INGRESS,
            m.ingress("api", "api.example.com", m.path("shop"), ingressClassName="nginx-internal"),
            m.ingress("alb", "alb.example.com", m.path("shop"), ingressClassName="alb"),
            m.ingress("other", "other.example.com", m.path("other")),
            m.ingress("canary", None, m.path("shop"), metadata=annotations),
        )
        assert routing(plan) == {"nginx": {"stableIngresses": ["api", "shop"]}}
        assert codes(plan) == ["adopt-other-ingress"]
        only = planned(SERVICE, m.ingress("alb", None, m.path("shop"), ingressClassName="alb"))
        assert ("trafficRouting" in str(only.rollout), codes(only)) == (False, ["adopt-other-ingress"])

    def test_virtual_services(self) -> None:
        """Several objects are listed, and a route that has the canary already stays as it is."""
        both = [m.destination("shop", 100), m.destination("shop-canary", 0)]
        plan = planned(
            SERVICE,
            m.virtual_service("a", http=[{"route": both}, {"redirect": {}}]),
            m.virtual_service("b", tcp=[{"route": [m.destination("shop")]}]),
            m.virtual_service("c", http=[{"route": [m.destination("other")]}]),
        )
        assert routing(plan) == {"istio": {"virtualServices": [{"name": "a"}, {"name": "b"}]}}
        assert [change.ref.name for change in plan.changes if change.ref.kind == "VirtualService"] == ["b"]

    @pytest.mark.parametrize(
        ("sections", "code"),
        [
            ({"http": [{"route": [m.destination("shop")]}] * 2}, "adopt-unnamed-route"),
            ({"tcp": [{"route": [m.destination("shop")]}] * 2}, "adopt-unnamed-route"),
            ({"http": [{"route": [m.destination("shop", subset="v1")]}]}, "adopt-subset"),
        ],
    )
    def test_routes_that_cannot_be_named(self, sections: Manifest, code: str) -> None:
        """Routes without names of their own, and subsets, are refused."""
        with pytest.raises(RefusedError, match=code):
            planned(SERVICE, m.virtual_service(**sections)).refuse()

    def test_routes_of_gateway_api(self) -> None:
        """Every kind has its key; rules for others, and those that have the canary, stay as they are."""
        ours = {"backendRefs": [m.backend_ref("shop", 3), m.backend_ref("old", 1)]}
        theirs = {
            "backendRefs": [m.backend_ref("shop", namespace="other"), m.backend_ref("shop", kind="Bucket")]
        }
        both = {"backendRefs": [m.backend_ref("shop", 100), m.backend_ref("shop-canary", 0)]}
        plan = planned(
            SERVICE,
            m.http_route("web", ours, theirs),
            m.http_route("none", theirs),
            m.http_route("a", both, kind="GRPCRoute"),
            m.http_route("b", both, kind="GRPCRoute"),
        )
        assert routing(plan) == {
            "gatewayAPI": {"httpRoute": "web", "grpcRoutes": [{"name": "a"}, {"name": "b"}]}
        }
        (route,) = (change for change in plan.changes if change.ref.kind == "HTTPRoute")
        assert route.after is not None
        assert route.after["spec"]["rules"][0]["backendRefs"][-1] == m.backend_ref("shop-canary", 0)

    def test_several_backends(self) -> None:
        """All backends whose routes lead to the Service carry the weights, or those that are named."""
        objects = (SERVICE, INGRESS, m.virtual_service(http=[{"route": [m.destination("shop")]}]))
        assert routing(planned(*objects)).keys() == {"nginx", "istio"}
        assert routing(planned(*objects, routers=("nginx", "smi"))).keys() == {"nginx", "smi"}


class TestWriting:
    """The writes of a plan."""

    def _store(self) -> tuple[MemoryStore, AdoptionPlan]:
        objects = (SERVICE, m.virtual_service(http=[{"route": [m.destination("shop")]}]), autoscaler())
        around = _around(*objects)
        return around[0], plan_adoption(AdoptionWish(), read_surroundings(*around))

    @pytest.mark.parametrize("at", [0, 1, 2, 3])
    def test_a_failure_puts_back_what_was_written(self, at: int) -> None:
        """Whichever write fails, the objects are as they were, and the Deployment was never touched."""
        store, plan = self._store()
        before = store.manifests
        store.fail(at=at)
        with pytest.raises(ApplyError if at else StoreError, match="on fire"):
            applying.write(store, plan)
        assert store.manifests == before

    def test_a_failure_to_put_back_is_reported(self) -> None:
        """What could not be put back is named."""
        store, plan = self._store()
        store.fail(at=2, times=2)
        with pytest.raises(ApplyError, match="VirtualService default/web: still as it was written"):
            applying.write(store, plan)

    def test_a_lost_answer_is_looked_up(self) -> None:
        """A write that was stored goes on, although its answer got lost; one that was not fails."""
        store, plan = self._store()
        store.lose(at=0, times=4)
        applying.write(store, plan)
        assert ObjectRef("argoproj.io", "Rollout", "default", "shop") in store.manifests

    def test_a_lost_answer_without_a_write_fails(self) -> None:
        """A write whose answer got lost, and which was not stored, puts back those before it."""
        store, plan = self._store()
        before = store.manifests
        store.fail(at=1, error=UncertainError("the answer got lost"))
        with pytest.raises(ApplyError, match="the answer got lost"):
            applying.write(store, plan)
        assert store.manifests == before

    def test_a_dry_run_writes_nothing(self) -> None:
        """Neither kind of dry run stores anything."""
        store, plan = self._store()
        before = store.manifests
        applying.write(store, plan, True)
        applying.write(store, plan, "server")
        assert store.manifests == before
        assert len(store.log) == 4

    def test_the_template_is_taken_over(self) -> None:
        """The Rollout gets selector and template of the Deployment instead of the reference, once."""
        store, plan = self._store()
        applying.write(store, plan)
        applying.take_template(store, plan)
        applying.take_template(store, plan)
        spec = store.manifests[ObjectRef("argoproj.io", "Rollout", "default", "shop")]["spec"]
        assert "workloadRef" not in spec
        assert (spec["template"], spec["selector"]) == (
            deployment()["spec"]["template"],
            deployment()["spec"]["selector"],
        )

    def test_taking_the_template_over_outlasts_conflicts(self) -> None:
        """Another writer costs a second try; one that never stops ends with its conflict."""
        store, plan = self._store()
        applying.write(store, plan)
        store.fail(at=0, error=ConflictError("somebody was faster"), times=5)
        with pytest.raises(ConflictError):
            applying.take_template(store, plan)
        store.fail(at=0, error=ConflictError("somebody was faster"))
        applying.take_template(store, plan)
        assert "template" in store.manifests[ObjectRef("argoproj.io", "Rollout", "default", "shop")]["spec"]

    def test_a_move_is_over_when_the_deployment_has_no_pods(self) -> None:
        """Healthy is not enough: the Service selects the Rollout's pods, and the Deployment's are gone."""
        store, plan = self._store()
        applying.write(store, plan)
        rollout = ObjectRef("argoproj.io", "Rollout", "default", "shop")

        def moved() -> bool:
            item, live = applying.look(store, plan)
            return applying.is_moved(store, plan, item.manifest, live)

        assert not moved()
        status = {"phase": "Healthy", "stableRS": "abc", "observedGeneration": "1", "currentPodHash": "abc"}
        store.edit(rollout, lambda manifest: manifest.update(status=status))
        store.edit(rollout, lambda manifest: manifest["metadata"].update(generation=1))
        assert not moved()
        service = ObjectRef("", "Service", "default", "shop")
        store.edit(
            service,
            lambda manifest: manifest["spec"]["selector"].update({"rollouts-pod-template-hash": "abc"}),
        )
        assert not moved()
        store.edit(plan.deployment.ref, lambda manifest: manifest["spec"].update(replicas=0))
        assert moved()
