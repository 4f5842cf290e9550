"""Draw `docs/ramp.svg` from the ramps that `make traffic` has recorded in build/ramp/.

make picture
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
TITLES = {"nginx": "ingress-nginx", "istio": "istiod with Envoy", "smi": "an SMI mesh (Traefik Mesh)"}
BIN_S = 0.25


def main() -> None:
    """Read the records, and write the picture."""
    mpl.rcParams.update({"svg.hashsalt": "rollway", "svg.fonttype": "none", "font.size": 9})
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(3, 1, sharex=True), TITLES.items(), strict=True):
        file = ROOT / "build" / "ramp" / f"{name}.json"
        if not file.exists():
            sys.exit(f"{file.relative_to(ROOT)} is not there: run `make traffic` first")
        record = json.loads(file.read_text())
        counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for at, canary, answered in record["samples"]:
            counts[int(at / BIN_S)][0] += canary
            counts[int(at / BIN_S)][1] += answered
        requests = sum(answered for _, answered in counts.values())
        axes.plot(
            [(number + 0.5) * BIN_S for number in sorted(counts)],
            [100 * counts[number][0] / counts[number][1] for number in sorted(counts)],
            ".-",
            color="#1f6feb",
            linewidth=1,
            markersize=4,
            label=f"measured, each {BIN_S:g} s ({requests:,} requests, none failed)",
        )
        ends = [at for at, _ in record["steps"]]
        last = max(at for at, *_ in record["samples"])
        axes.step(
            [0, *ends, last],
            [0, *(weight for _, weight in record["steps"]), record["steps"][-1][1]],
            where="post",
            color="#d1242f",
            linewidth=1,
            alpha=0.8,
            label="what rollway reported as done",
        )
        axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
        axes.set_ylim(-6, 106)
        axes.set_yticks([0, 20, 40, 60, 80, 100])
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.set_xlabel("seconds")
    figure.supylabel("canary's share of the requests, %", fontsize=9)
    figure.savefig(ROOT / "docs" / "ramp.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
