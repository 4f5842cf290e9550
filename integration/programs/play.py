"""Start the local control plane with the example objects, for a person to play with."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from harness import crds, providers, tools
from harness.api import Api
from harness.control_plane import StartError
from harness.namespace import Namespace

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "shop"


def fill(api: Api, cluster: providers.Cluster, name: str) -> Namespace:
    """Create one example in the namespace that its manifests name, and return that namespace."""
    namespace = Namespace(cluster, api, name)
    for file in sorted((EXAMPLES / name).glob("*.yaml")):
        namespace.put(
            *(
                item
                for item in yaml.safe_load_all(file.read_text())
                if item and item["kind"] != "Kustomization"
            )
        )
    return namespace


def main() -> int:
    """Run one command against it and return its exit status, or stay until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="", help="a command to run instead of waiting")
    parser.add_argument("--kubernetes", default=tools.KUBERNETES[0], choices=tools.KUBERNETES)
    words = parser.parse_args()
    provider = providers.Local(words.kubernetes)
    why = provider.unavailable()
    if why:
        print(f"error: {why}", file=sys.stderr)
        return 1
    # The processes must not outlive this one, also when it is stopped from outside.
    signal.signal(signal.SIGTERM, lambda *_words: sys.exit(143))
    # A shell ignores this signal in the programs that it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with provider.cluster() as cluster:
            api = Api(cluster)
            api.install(crds.installed())
            names = sorted(path.name for path in EXAMPLES.iterdir())
            namespaces = {name: fill(api, cluster, name) for name in names}
            return stay(cluster, namespaces, words.run)
    except (StartError, tools.MissingToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def stay(cluster: providers.Cluster, namespaces: dict[str, Namespace], command: str) -> int:
    """Run the command, or print how to use the cluster and wait."""
    path = namespaces["istio"].kubeconfig
    if command:
        bin_folder = Path(sys.executable).parent
        environment = {
            **os.environ,
            "KUBECONFIG": str(path),
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        try:
            return subprocess.run(["bash", "-c", command], env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 130
    server = cluster.control_plane.server if cluster.control_plane else ""
    print(f"Kubernetes is at {server}, with Rollout `shop` in the namespaces {', '.join(namespaces)}.")
    print(
        f"\n  export KUBECONFIG={shlex.quote(str(path))}\n  rollway status -A\n  rollway set-weight shop 20 -n istio\n"
    )
    print("Ctrl-C ends it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
