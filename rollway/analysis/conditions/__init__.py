"""Conditions: the expression language of Argo Rollouts' analyses, expr-lang, parsed once and decided often. Pure.

Source of the language: expr-lang 1.15 and 1.17 as Argo Rollouts 1.9 and 1.10 use it (`utils/evaluate/evaluate.go`).
`docs/analysis.md` lists what is supported.
"""

from rollway.analysis.conditions.condition import Condition, TimeExpression
from rollway.analysis.conditions.errors import ConditionError

__all__ = ["Condition", "ConditionError", "TimeExpression"]
