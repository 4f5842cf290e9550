"""The pods of the only node as processes of this sandbox: each an nginx at its own address, which answers with its version.

What a kubelet does for them: a pod is ready when its process answers, and while it ends it still answers during `preStop`.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from data_planes import fetch
from data_planes.echo import PORT, nginx_environment
from harness import debian
from harness.control_plane import StartError
from harness.daemon import Daemon
from rollway.routers.errors import NotFoundError
from rollway.routers.kube.client import MERGE_PATCH, Target
from rollway.routers.kube.informer import Informer
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from pathlib import Path

    from harness.api import Api
    from rollway.routers.kube.cache import ObjectChange
    from rollway.routers.objects import Manifest

IMAGE = "echo"
"""The image of the pods that run here; other pods are left alone."""
_CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address}:{port};
    default_type text/plain;
    add_header X-Version {version};
    location / {{ return 200 "{version}\\n"; }}
  }}
}}
"""
_ADDRESSES = (f"10.244.{block}.{number}" for block in itertools.count(1) for number in range(1, 255))


class EchoPods:
    """Run a process for each pod of the image `echo:VERSION` from its scheduling to its end."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._root = debian.unpacked(debian.NGINX)
        self._processes: dict[str, Daemon] = {}
        self._ending: set[str] = set()
        self._over = threading.Event()
        self._informer = Informer(api.client, Target("", "Pod"), lambda pod: pod, self._changed)

    def start(self) -> None:
        """Watch the pods."""
        self._informer.start()

    def stop(self) -> None:
        """End all processes, and leave the objects as they are."""
        self._over.set()
        self._informer.stop()
        self._informer.join()
        for daemon in list(self._processes.values()):
            daemon.stop()

    def _changed(self, change: ObjectChange[Manifest]) -> None:
        pod = change.new or change.old
        image, _, version = dig(pod, "spec", "containers")[0]["image"].partition(":") if pod else ("", "", "")
        if not pod or image != IMAGE or not pod["spec"].get("nodeName"):
            return
        uid = pod["metadata"]["uid"]
        ends = change.new is None or "deletionTimestamp" in pod["metadata"]
        if ends and uid not in self._ending:
            self._ending.add(uid)
            threading.Thread(target=self._end, args=(pod,), daemon=True).start()
        elif not ends and uid not in self._processes:
            self._run(pod, version)

    def _run(self, pod: Manifest, version: str) -> None:
        """Start the process of a pod; the status is written when it answers."""
        name, address = pod["metadata"]["name"], next(_ADDRESSES)
        home = self._folder / name
        home.mkdir()
        config = home / "nginx.conf"
        config.write_text(_CONFIG.format(folder=home, address=address, port=PORT, version=version))
        command = [str(self._root / "usr/sbin/nginx"), "-p", str(home), "-c", str(config), "-e", "stderr"]
        daemon = Daemon(name, command, home, nginx_environment(self._root))
        self._processes[pod["metadata"]["uid"]] = daemon
        daemon.start()
        threading.Thread(target=self._report, args=(pod, daemon, address), daemon=True).start()

    def _report(self, pod: Manifest, daemon: Daemon, address: str) -> None:
        """Write that a pod is ready, as soon as it answers."""
        try:
            daemon.wait(lambda: fetch(f"http://{address}:{PORT}/") is not None)
        except StartError:
            if self._over.is_set() or pod["metadata"]["uid"] in self._ending:
                return
            raise
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ]
        (container,) = pod["spec"]["containers"]
        running: dict[str, Any] = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        status = {
            "phase": "Running",
            "startTime": now,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
            "containerStatuses": [running],
        }
        metadata = pod["metadata"]
        target = Target("", "Pod", metadata["namespace"], metadata["name"], "status")
        with contextlib.suppress(NotFoundError):
            self._api.client.patch(target, {"status": status}, MERGE_PATCH)

    def _end(self, pod: Manifest) -> None:
        """Let a pod serve on during `preStop`, end its process, and delete the object for good."""
        (container,) = pod["spec"]["containers"]
        seconds = dig(container, "lifecycle", "preStop", "sleep", "seconds") or 0
        self._over.wait(seconds)
        daemon = self._processes.get(pod["metadata"]["uid"])
        if daemon:
            daemon.stop(signal.SIGQUIT)  # nginx then completes the requests that it has
        if not self._over.is_set():
            self._api.delete(pod, {"gracePeriodSeconds": "0"})
