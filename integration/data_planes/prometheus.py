"""Prometheus, from Debian's package: scrapes the data planes every second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from data_planes import fetch
from harness import debian
from harness.control_plane import flags
from harness.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ADDRESS = "127.0.0.1:23000"
INTERVAL_S = 1


class Prometheus:
    """One Prometheus."""

    def __init__(self) -> None:
        self.url = f"http://{_ADDRESS}"
        self.daemon: Daemon | None = None

    def start(self, folder: Path, *, nginx: Sequence[str], envoy: str) -> None:
        """Start it, with the addresses of what it scrapes, and wait until it answers."""
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump(_config(nginx, envoy), sort_keys=False))
        words = {
            "config.file": str(config),
            "storage.tsdb.path": str(folder / "data"),
            "web.listen-address": _ADDRESS,
            "log.level": "warn",
        }
        program = debian.unpacked(debian.PROMETHEUS) / "usr/bin/prometheus"
        self.daemon = Daemon("prometheus", [str(program), *flags(words)], folder)
        self.daemon.start()
        self.daemon.wait(lambda: fetch(f"{self.url}/-/ready"))

    def stop(self) -> None:
        """End it."""
        if self.daemon:
            self.daemon.stop()


def _config(nginx: Sequence[str], envoy: str) -> dict[str, Any]:
    # A target in a cluster has the labels of its pod, so those of ingress-nginx get another name.
    pod = {"namespace": "ingress-nginx", "service": "ingress-nginx-controller"}
    return {
        "global": {"scrape_interval": f"{INTERVAL_S}s"},
        "scrape_configs": [
            {"job_name": "ingress-nginx", "static_configs": [{"targets": list(nginx), "labels": pod}]},
            {
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [envoy]}],
                "metric_relabel_configs": [
                    _rename("__name__", "envoy_(istio_requests_total)", "__name__"),
                    # outbound|PORT|SUBSET|HOST
                    _rename("cluster", "[^|]*[|][^|]*[|][^|]*[|](.*)", "destination_service"),
                    # WORKLOAD;NAMESPACE;CANONICAL SERVICE;CANONICAL REVISION;CLUSTER
                    _rename("workload", "[^;]*;[^;]*;[^;]*;([^;]*);.*", "destination_version"),
                ],
            },
        ],
    }


def _rename(source: str, pattern: str, target: str) -> dict[str, Any]:
    return {"source_labels": [source], "regex": pattern, "target_label": target, "replacement": "$1"}
