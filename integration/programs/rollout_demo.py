"""Show a release from `rollway set image` to healthy, with the share of live requests at each weight, inside a sandbox.

make rollout-demo                 # PAUSE=SECONDS: how long each weight lasts
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))

from harness import live_cluster, sandbox, tools
from harness.control_plane import StartError
from harness.load import Load, wait_until_served
from harness.process import ROLLWAY
from harness.releasing import NGINX_CANARY, Shop, is_paused, serving_template, weights_of
from harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.live_cluster import LiveCluster

WEIGHTS = (20, 40, 60, 80)
RATE = 150
HEADINGS = ("weight of v2", "evidence", "requests", "v2 answered", "failed")
COLUMNS = "  {:>12}  {:>9}  {:>9}  {:>12}  {:>7}"


class Demo:
    """One release in a live cluster, shown line by line; each weight lasts `pause` seconds."""

    def __init__(self, cluster: LiveCluster, pause: int) -> None:
        self.cluster = cluster
        self.pause = pause
        self.web = Shop(cluster.client, "shop", ("stable", "canary"))
        self.load = Load(cluster.url, self.web.host, RATE)
        self.begin = time.monotonic()
        self.wrong: list[str] = []

    def prepare(self) -> None:
        """Create the Rollout, its Services and its Ingress, and wait until users are served."""
        self.web.ingress()
        pause = {"pause": {"duration": self.pause}}
        steps = [step for weight in WEIGHTS for step in ({"setWeight": weight}, pause)]
        canary = {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 1}
        self.web.rollout({"canary": canary}, replicas=3, template=serving_template("echo:v1"))
        self.web.wait_healthy()
        wait_until_served(self.cluster.url, self.web.host)

    def release(self) -> None:
        """Change the image, and show each weight as users see it until the release is healthy."""
        words = ("set", "image", "web", "web=echo:v2", "-n", "shop")
        print(f"$ rollway {' '.join(words)}", flush=True)
        self.begin = time.monotonic()
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        subprocess.run([*ROLLWAY, *words], env=environment, check=True)
        print(COLUMNS.format(*HEADINGS), flush=True)
        for number, weight in enumerate(WEIGHTS):
            self.step(weight, 2 * number + 1)
        self.web.wait_healthy(60)
        until(lambda: weights_of(self.web.status).get("verified"), "all traffic is with v2", 60)
        end = time.monotonic() + self.pause
        self.show(100, lambda: time.monotonic() < end)
        until(lambda: self.web.is_gone("echo:v1"), "the pods of v1 are gone")
        print(f"Healthy {time.monotonic() - self.begin:.0f} s after the change of the image. {self.load}.")
        if self.load.failures:
            self.wrong.append("requests have failed")

    def step(self, weight: int, pause: int) -> None:
        """Wait for the pause after a weight, and show that weight while it lasts; `pause` is the index of the step."""
        self.web.wait(lambda status: is_paused(status, pause), f"weight {weight}", 60)
        self.show(weight, lambda: is_paused(self.web.status, pause))

    def show(self, weight: int, lasts: Callable[[], bool]) -> None:
        """Measure while a weight lasts, and print its line."""
        begin = end = time.monotonic()
        is_loaded = weights_of(self.web.status).get("verified") and self.cluster.is_asked()
        while lasts():
            end = time.monotonic()
            time.sleep(0.05)
        counts = self.load.versions(begin, end)
        share = counts["v2"] / max(counts.total(), 1)
        cells = (
            f"{weight} %",
            "loaded" if is_loaded else "none",
            counts.total(),
            f"{share:.1%}",
            self.load.failures.total(),
        )
        print(COLUMNS.format(*cells), flush=True)
        self.wrong += filter(None, [self.load.off(weight, "v2", begin, end)])


def main() -> int:
    """Start everything, play the demo, and end everything in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pause", type=int, default=4, help="seconds that each weight lasts")
    words = parser.parse_args()
    if not sandbox.inside():
        print(
            "error: start it with `make rollout-demo`, or inside integration/programs/sandbox.py",
            file=sys.stderr,
        )
        return 1
    signal.signal(signal.SIGTERM, lambda *_words: sys.exit(143))
    # A shell ignores this signal in the programs that it starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = time.monotonic()
    print("Starting a control plane, ingress-nginx and `rollway controller`. Nothing leaves this machine.")
    sys.stdout.flush()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="rollway-demo-") as folder,
            live_cluster.started(Path(folder)) as cluster,
        ):
            demo = Demo(cluster, words.pause)
            demo.prepare()
            print(
                f"Ready after {time.monotonic() - begin:.0f} s: 3 pods of v1 behind ingress-nginx get {RATE} requests a second."
            )
            sys.stdout.flush()
            with demo.load:
                demo.release()
            for each in demo.wrong:
                print(f"error: {each}", file=sys.stderr)
            return 1 if demo.wrong else 0
    except (StartError, tools.MissingToolError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing is left.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
