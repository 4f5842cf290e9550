"""Build what the tests need before they start, so that two workers do not wait for one build."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from containers import images, ingress_nginx_image, kind
from harness import crds, debian, providers, tools

CONTROLLERS = ("kube-controller-manager", "kube-scheduler")


def main() -> None:
    """Build, and print how long it took; end at once when the cluster that was asked for cannot be started here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", choices=providers.NAMES, default="local")
    parser.add_argument("--kubernetes", default=tools.KUBERNETES[0])
    parser.add_argument(
        "--versions", action="store_true", help="print the versions that there is a build for"
    )
    parser.add_argument("--kind-images", choices=kind.SOURCES, default="auto")
    parser.add_argument("--traffic", action="store_true", help="also what the data planes need")
    parser.add_argument("--live", action="store_true", help="also what releases with live requests need")
    words = parser.parse_args()
    if words.versions:
        print(*tools.KUBERNETES)
        return
    started = time.monotonic()
    try:
        list(crds.definitions(tuple(crds.SOURCES)))
        if words.cluster == "local":
            build(tools.etcd(), tools.kubernetes("kube-apiserver", words.kubernetes))
            build(tools.hashes("current"), tools.hashes("old"))
            build(tools.conditions("1.9"), tools.conditions("1.10"))
            build(*(tools.kubernetes(program, words.kubernetes) for program in CONTROLLERS), tools.kwok())
            tools.module_folder("sigs.k8s.io/kwok", "kwok")
            build(*map(tools.argo_rollouts, ("rollouts-controller", "kubectl-argo-rollouts")))
        if words.cluster == "kind":
            make_images(words.kind_images)
        if words.traffic or words.live:
            print(f"{debian.NGINX[0]}: {debian.unpacked(debian.NGINX)}")
            build(tools.kubelet(), tools.ingress_nginx())
        if words.traffic:
            print(f"{debian.PROMETHEUS[0]}: {debian.unpacked(debian.PROMETHEUS)}")
            build(tools.traefik_mesh(), tools.traefik(), tools.istiod())
    except tools.MissingToolError as error:
        sys.exit(f"the integration tests cannot run here: {error}")
    print(f"ready after {time.monotonic() - started:.0f} s")


def build(*programs: tools.Tool) -> None:
    """Build programs from their Go modules."""
    for tool in programs:
        print(f"{tool.name}: {tool.path()}")


def make_images(source: str) -> None:
    """Make the images that a kind cluster needs when its own come from a source of `kind.SOURCES`."""
    build(tools.kind(), tools.kubernetes("kubectl"))
    node = kind.node_image(source)
    print(f"node: {node.reference}")
    made = [images.echo(), images.echo("v1"), images.echo("v2"), images.traefik()]
    if node.archive:
        made += [ingress_nginx_image.image(), images.rollway(), images.python()]
    for image in made:
        print(f"{image.reference}: {image.archive()}")


if __name__ == "__main__":
    main()
