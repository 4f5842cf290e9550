"""The contract that every backend keeps. Subclass `BackendContract`, and return a typical Rollout and its objects.

    class TestNginxContract(BackendContract):
        def rollout(self) -> Rollout: ...
        def objects(self) -> list[Manifest]: ...

Needs `rollway[testing]`. A backend that lacks a feature is tested to refuse it, not skipped.
"""

from __future__ import annotations

from rollway.routers.testing.contract.failures import FailureContract
from rollway.routers.testing.contract.routes import RouteContract
from rollway.routers.testing.contract.subject import ContractStore
from rollway.routers.testing.contract.translation import TranslationContract
from rollway.routers.testing.contract.writing import WritingContract

__all__ = ["BackendContract", "ContractStore"]


class BackendContract(TranslationContract, WritingContract, FailureContract, RouteContract):
    """What holds for every backend, whatever its objects are."""
