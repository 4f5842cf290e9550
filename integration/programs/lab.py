"""Start the example shop behind real data planes, inside a sandbox, for a person to play with.

make lab                      # a shell with KUBECONFIG, curl and rollway ready
make lab RUN='rollway ...'    # one command, and its exit status
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from data_planes import DataPlane, echo
from data_planes.gateway_api import IstioGateway, TraefikGateway
from data_planes.ingress_nginx import IngressNginx
from data_planes.istio import Istio
from data_planes.kubelet import Kubelet
from data_planes.smi_mesh import SmiMesh
from harness import crds, providers, sandbox, tools
from harness.api import Api
from harness.control_plane import StartError
from harness.traffic import Shop

BANNER = """\
Rollout `shop` runs behind each of these, in the namespace of that name:

{places}

  rollway status -A
  rollway set-weight shop 20 -n nginx {nginx}
  rollway verify shop 20 -n istio --url $ISTIO_URL --identify header:X-Version -H "Host: $ISTIO_HOST" --rate 0
  curl -si $SMI_URL -H "Host: $SMI_HOST"

Nothing leaves this machine. `exit` ends everything.
"""


def environment(shops: list[Shop]) -> dict[str, str]:
    """Return what a shell in the lab knows."""
    found = {
        **os.environ,
        "KUBECONFIG": str(shops[0].namespace.kubeconfig),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PS1": "lab$ ",
    }
    for shop in shops:
        name = shop.plane.name.upper().replace("-", "_")
        found |= {f"{name}_URL": shop.plane.url, f"{name}_HOST": shop.host}
        if shop.plane.loaded_options:
            found[f"{name}_LOADED"] = " ".join(shop.plane.loaded_options)
    return found


def stay(shops: list[Shop], command: str) -> int:
    """Run the command or a shell, and return its exit status."""
    if command:
        return subprocess.run(["bash", "-c", command], env=environment(shops), check=False).returncode
    places = "\n".join(
        f"  {shop.plane.name:15} curl {shop.plane.url} -H 'Host: {shop.host}'" for shop in shops
    )
    print(BANNER.format(places=places, nginx=" ".join(shops[0].plane.loaded_options)), flush=True)
    return subprocess.run(["bash", "--norc", "-i"], env=environment(shops), check=False).returncode


def main() -> int:
    """Start the data planes, and end them in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="", help="a command to run instead of a shell")
    words = parser.parse_args()
    if not sandbox.inside():
        print("error: start it with `make lab`, or inside integration/programs/sandbox.py", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_words: sys.exit(143))
    istio = Istio()
    planes: list[DataPlane] = [IngressNginx(), istio, SmiMesh(), IstioGateway(istio), TraefikGateway()]
    try:
        with (
            tempfile.TemporaryDirectory(prefix="rollway-lab-") as name,
            providers.Local().cluster() as cluster,
        ):
            folder = Path(name)
            api = Api(cluster)
            api.install(crds.installed())
            pods = echo.started(folder)
            kubelet = Kubelet(folder)
            try:
                kubelet.start(api)
                for plane in planes:
                    place = folder / plane.name
                    place.mkdir()
                    plane.start(cluster, api, place)
                    kubelet.serve(plane.pod_ports)
                shops = [
                    Shop(cluster, api, plane, number, namespace=plane.name)
                    for number, plane in enumerate(planes, start=100)
                ]
                return stay(shops, words.run)
            finally:
                for plane in planes:
                    plane.stop()
                kubelet.stop()
                pods.stop()
    except (StartError, tools.MissingToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
