"""The codes of what only switching a Service meets. `backend.py` finds them."""

from __future__ import annotations

from rollway.routers.findings import FindingCode

FINDINGS = (
    FindingCode(
        "service-headless",
        "The active Service is headless (`clusterIP: None`), so its clients connect to addresses that DNS gave them.",
        "Clients go on with the pods of the other release until they ask DNS again.",
        "Give the Service a cluster IP, or keep the pods of both releases until all clients have asked again.",
    ),
)
