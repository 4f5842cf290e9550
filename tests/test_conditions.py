"""Conditions decide as Argo Rollouts' own code does, name the place of a fault, and stay within bounds."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from condition_cases import CASES

from rollway.analysis.conditions import Condition, ConditionError, TimeExpression
from rollway.analysis.conditions.functions import FUNCTIONS
from rollway.analysis.conditions.loops import LOOPS
from rollway.analysis.conditions.operators import BINARY
from rollway.analysis.conditions.times import DURATION_METHODS, TIME_COMPARISONS, TIME_METHODS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANSWERS = json.loads((Path(__file__).parent / "condition_answers.json").read_text())
OURS: dict[str, bool | str] = {
    "result > 1;": "error",
    "sortBy([{'a': 2}, {'a': 1}], 'a')[0].a == 1": True,
    "sortBy(result.rows, 'n')[1].n == 2": True,
    "groupBy([1, 2, 3], # % 2)[1] == [1, 3]": "error",
    "$env.result == 5": "error",
    "isNil(nil)": True,
    "default(1, 5) == 1": True,
    "default(result.missing, 0) == 0": True,
    "result.inner == {'value': 5, 'text': 'x y'}": True,
}
"""Where a decision is another one on purpose; `docs/analysis.md` has the reasons."""


def decide(condition: str, result: Any = None) -> bool | str:
    """Return the decision, and `error` where there is none."""
    try:
        return Condition(condition).holds(result, NOW)
    except ConditionError:
        return "error"


def test_decisions_are_those_of_argo_rollouts() -> None:
    """Each of some four hundred conditions is decided as the code of Argo Rollouts 1.10 decides it, but for a table."""
    ours = {case.key: decide(case.condition, case.value) for case in CASES}
    wanted = {case.key: OURS.get(case.condition, ANSWERS["1.10"][case.key]) for case in CASES}
    assert ours == wanted
    assert all(wanted[case.key] != ANSWERS["1.10"][case.key] for case in CASES if case.condition in OURS)


def test_what_argo_rollouts_1_9_decides_is_decided_the_same() -> None:
    """A decision of 1.9 is ours, but for arrays: 1.9 takes `[1]` for another array than `[1.0]`."""
    decided = {key: answer for key, answer in ANSWERS["1.9"].items() if answer != "error"}
    assert len(decided) > 200
    differing = {
        case.condition
        for case in CASES
        if case.key in decided and decide(case.condition, case.value) != decided[case.key]
    }
    assert all(
        condition in OURS or "[" in condition or "..3 ==" in condition or " .. " in condition
        for condition in differing
    )
    assert len(differing) < 20


@pytest.mark.parametrize(
    ("condition", "position", "problem"),
    [
        ("result[0] > = 1", 13, "unexpected `=`"),
        ("result > 1 and foo(result)", 16, "unknown function `foo`"),
        ("resutl > 1", 1, "unknown name `resutl`"),
        ("(result > 1", 12, "ends too early"),
        ("result > 1 and 'a' + 1 == 2", 20, "string + int is not defined"),
        ("result matches '['", 8, "no regular expression"),
        ("len(result, 1) == 1", 1, "len takes 1 arguments, got 2"),
        ("upper(1) == 'A'", 1, "upper expects string, got int"),
        ("result * 2", 1, "the expression is number, not bool"),
        ("all(result, # + 1)", 1, "is true or false, not number"),
        ("result ?? 0 > 1", 13, "brackets"),
        ("# > 1", 1, "predicate"),
        ("", 1, "empty"),
        ("now().Foo() == 1", 7, "unknown method `Foo`"),
    ],
)
def test_a_fault_has_its_place(condition: str, position: int, problem: str) -> None:
    """What is wrong without any value is an error of the condition itself, at the place where it stands."""
    with pytest.raises(ConditionError) as caught:
        Condition(condition)
    assert problem in str(caught.value)
    assert caught.value.position + 1 == position


@pytest.mark.parametrize(
    ("condition", "result", "position", "problem"),
    [
        ("result[3] > 1", [1.0], 7, "index out of range: 3 of 1 items"),
        ("result.a.b > 1", {}, 10, "cannot fetch 'b' from nil"),
        ("true and result.x > 1", {"x": "a"}, 19, "string > int is not defined"),
        ("asInt(result) > 1", "x", 1, "'x' is no int"),
    ],
)
def test_a_value_that_does_not_fit_has_its_place(
    condition: str, result: Any, position: int, problem: str
) -> None:
    """What is wrong with a value names the operation of the condition that does not take it."""
    parsed = Condition(condition)
    with pytest.raises(ConditionError) as caught:
        parsed.holds(result, NOW)
    assert problem in str(caught.value)
    assert caught.value.position + 1 == position


@pytest.mark.parametrize(
    "condition",
    [
        "true " + "and true " * 5000,
        "(" * 500 + "false" + ")" * 500,
        "-" * 2000 + "1 > 0",
        "not " * 1000 + "true",
        "[" * 300 + "]" * 300 + " == nil",
        "1..200000 == nil",
        "all(1..2000, all(1..2000, # > 0))",
        "len(repeat('a', 1000000)) > 1",
        "len(reduce(1..100, #acc + #acc, 'a')) > 1",
        "'" + "a" * 5000 + "' matches '(a*)*b'",
        "9223372036854775807 + 1 > 0",
        "reduce(1..1000, #acc * 10, 1) > 0",
    ],
)
def test_an_expression_has_bounds(condition: str) -> None:
    """What would take too long, too deep or too much memory is an error, or decided in linear time."""
    assert decide(condition) in ("error", False)


def test_a_result_of_any_shape_is_decided_or_an_error() -> None:
    """A result that is deep or odd gives a decision or an error with a place, and no other exception."""
    deep: Any = 1.0
    for _ in range(2000):
        deep = [deep]
    assert decide("result == result", deep) in (True, "error")
    assert decide("flatten(result) == [1]", deep) in (True, "error")
    assert decide("string(result) == ''", deep) in (False, "error")


def test_times_are_read_with_the_layouts_of_go() -> None:
    """A date has the layout that is given, and `now` is the time of the evaluation."""
    assert TimeExpression('now() - duration("5m")').time(NOW) == datetime(2026, 3, 1, 11, 55, tzinfo=UTC)
    cases = {
        "date('2026-03-01T12:00:00Z') == now()": True,
        "date('01 Mar 26 13:00', '02 Jan 06 15:04', 'Europe/Berlin') == now()": True,
        "date('3/1/2026 12:00 PM', '1/2/2006 3:04 PM') == now()": True,
        "now().Hour() == 12 and now().Year() == 2026 and now().Unix() == 1772366400": True,
        "date('2026-03-01', 'nonsense') == now()": "error",
        "date('2026-03-01', '2006-01-02', 'Nowhere/City') == now()": "error",
        "now() + duration('90000000h') > now()": "error",
    }
    assert {condition: decide(condition) for condition in cases} == cases
    with pytest.raises(ConditionError, match="unknown name `result`"):
        TimeExpression("result")
    with pytest.raises(ConditionError, match="is int, not time"):
        TimeExpression("5")


def test_the_parser_is_loaded_with_the_first_condition() -> None:
    """Importing the conditions costs no parser and no regular expressions."""
    code = "import sys, rollway.analysis.conditions; print({'lark', 're2'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


WORDS = (
    *(
        "result",
        "#",
        ".x",
        "#index",
        "#acc",
        "nil",
        "true",
        "1",
        "0.5",
        "'a'",
        "foo",
        "now()",
        "[1, 2]",
        "{'x': 1}",
        "1..3",
    ),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        ".",
        "?.",
        "|",
        ";",
        "let x =",
        "x",
        "$",
        "\\",
        "'",
        '"',
        "/*",
        "//",
    ),
    *(
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "??",
        "==",
        "!=",
        "<",
        ">=",
        "..",
        "not",
        "!",
        "and",
        "||",
        "in",
        "not in",
        "matches",
    ),
    *(
        "contains",
        "all(",
        "any(result,",
        "filter(result, #",
        "map(",
        "reduce(",
        "len(",
        "asInt(",
        "asFloat(",
        "default(",
    ),
    *(
        "date(",
        "duration('1h')",
        "sort(",
        "max(",
        "string(",
        "split('a', 'a'",
        "toJSON(",
        "fromJSON(",
        "repeat('a',",
        "groupBy(",
    ),
)
RESULTS: tuple[Any, ...] = (
    None,
    True,
    1.0,
    float("nan"),
    float("inf"),
    "a",
    "",
    [],
    [1.0, 2.0],
    ["a", None],
    {},
    {"x": [1.0]},
)


@pytest.mark.fuzz
def test_ten_thousand_expressions_are_decided_or_refused() -> None:
    """Expressions by chance, half of them changed from good ones, give a decision or an error with a place."""
    chance = random.Random(20)
    decided = 0
    for _ in range(10_000):
        if chance.random() < 0.5:
            source = " ".join(chance.choices(WORDS, k=chance.randrange(1, 12)))
            result = chance.choice(RESULTS)
        else:
            case = chance.choice(CASES)
            source, result = case.condition, case.value
            at = chance.randrange(len(source) + 1)
            cut = chance.randrange(3)
            source = (
                source[:at] + chance.choice((*WORDS, chance.choice(CASES).condition)) + source[at + cut :]
            )
        try:
            decided += Condition(source).holds(result, NOW) in (True, False)
        except ConditionError as error:
            assert 0 <= error.position <= len(source)
    assert decided > 100


def test_the_page_lists_every_function() -> None:
    """The table of docs/analysis.md has each function and operator, and no other function."""
    page = (Path(__file__).parent.parent / "docs" / "analysis.md").read_text()
    table = page.partition("| Group | What there is |")[2].partition("\n\n")[0].replace("\\|", "|")
    rows = {
        cells[0].strip(): cells[1] for cells in (row[2:].split(" | ", 1) for row in table.splitlines()[2:])
    }
    groups = ("with a predicate", "of Argo Rollouts", "numbers", "texts, by functions", "arrays and maps")
    listed = {word for group in groups for word in re.findall(r"`(\w+)`", rows[group])}
    assert listed | {"date", "duration"} == {*FUNCTIONS, *LOOPS}
    methods = set(re.findall(r"`(?:[td]\.)?([A-Z]\w+)", rows["times"]))
    assert methods == {*TIME_METHODS, *TIME_COMPARISONS, *DURATION_METHODS}
    operators = {word for row in rows.values() for word in re.findall(r"`(\S+?)`", row)}
    assert set(BINARY) - operators - {"??", "in", ".."} == set()
    assert all(word in table for word in (" ?? ", " in ", "1..3"))
