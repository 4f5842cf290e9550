"""For tests of backends and of controllers: a store in memory that can fail on purpose, and the contract suite."""

from __future__ import annotations

from rollway.routers.testing.memory import MemoryStore

__all__ = ["MemoryStore"]
