"""Compile trees of expressions into functions, and find what can be known to be wrong before they run. Pure.

Source: expr-lang, `parser/parser.go` (how operators bind), `checker/checker.go` and `compiler/compiler.go`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from rollway.analysis.conditions import values
from rollway.analysis.conditions.binding import Operations, position_of
from rollway.analysis.conditions.errors import ConditionError, OperationError
from rollway.analysis.conditions.expressions import Expression, Frame, size_of
from rollway.analysis.conditions.functions import FUNCTIONS, called
from rollway.analysis.conditions.literals import number_of, string_of
from rollway.analysis.conditions.loops import LOOPS, loop
from rollway.analysis.conditions.members import method
from rollway.analysis.conditions.operators import (
    COALESCE,
    binary,
    pattern_of,
    unary,
)
from rollway.analysis.conditions.syntax import parse
from rollway.analysis.conditions.values import ANY, ARRAY, BOOL, INT, MAP, NIL, STRING, TIME, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import lark

    Tree: TypeAlias = lark.Tree[Any]

NESTING, DEPTH, SIZE = 40, 120, 2000
"""How many levels of brackets and of functions, of operators (`a + b + c` has two), and operations there may be."""


def compile_expression(source: str, *, names: Mapping[str, str]) -> Expression:
    """Compile an expression; `names` are the kinds of the values that it is given: `result`, or nothing.

    Raises:
        ConditionError: it cannot be parsed, names what there is not, or cannot be decided for any value.
    """
    tree = parse(source)
    try:
        return Compiler(source, names).compile(tree)
    except RecursionError:
        raise ConditionError("the expression is too deep", source, 0) from None


class Compiler:
    """Compile one expression; the state is what stands around a tree: variables, and whether there is a loop."""

    def __init__(self, source: str, names: Mapping[str, str]) -> None:
        self._source = source
        self._names = names
        self._variables: dict[str, str] = {}
        self._loops: list[str] = []
        self._nesting = 0

    def compile(self, tree: Tree) -> Expression:
        """Compile a tree.

        Raises:
            ConditionError: see `compile_expression`.
        """
        position = position_of(tree)
        self._nesting += 1
        if self._nesting > NESTING * 2:
            raise ConditionError(f"more than {NESTING} levels of brackets", self._source, position)
        rule: Callable[[Tree], Expression] = getattr(self, f"_{tree.data}")
        try:
            made = rule(tree)
        except OperationError as error:
            raise ConditionError(str(error), self._source, position) from None
        self._nesting -= 1
        return self._bounded(made)

    def _bounded(self, made: Expression) -> Expression:
        if made.depth > DEPTH or made.size > SIZE:
            what = f"{DEPTH} levels" if made.depth > DEPTH else f"{SIZE} operations"
            raise ConditionError(f"the expression has more than {what}", self._source, made.position)
        return made

    def _guarded(self, made: Expression) -> Expression:
        """Return the expression with the place of its errors."""
        run, source, position = made.run, self._source, made.position

        def guarded(frame: Frame) -> Any:
            try:
                return run(frame)
            except OperationError as error:
                raise ConditionError(str(error), source, position) from None

        return made._replace(run=guarded)

    def _constant(self, value: Any, tree: Tree) -> Expression:
        return Expression(lambda _frame: value, values.kind_of(value), position_of(tree))

    def _number(self, tree: Tree) -> Expression:
        return self._constant(number_of(str(tree.children[0])), tree)

    def _string(self, tree: Tree) -> Expression:
        return self._constant(string_of(str(tree.children[0])), tree)

    def _true(self, tree: Tree) -> Expression:
        return self._constant(True, tree)

    def _false(self, tree: Tree) -> Expression:
        return self._constant(False, tree)

    def _nil(self, tree: Tree) -> Expression:
        return self._constant(None, tree)

    def _array(self, tree: Tree) -> Expression:
        items = [self.compile(child) for child in tree.children if child is not None]
        runs = [item.run for item in items]
        return Expression(
            lambda frame: [run(frame) for run in runs], ARRAY, position_of(tree), *size_of(*items)
        )

    def _map(self, tree: Tree) -> Expression:
        keys, items = [], []
        for pair in filter(None, tree.children):
            key, item = pair.children
            keys.append(self._key(key))
            items.append(self.compile(item))
        pairs = [(key.run, item.run) for key, item in zip(keys, items, strict=True)]

        def build(frame: Frame) -> dict[str, Any]:
            built: dict[str, Any] = {}
            for key, item in pairs:
                name = key(frame)
                values.require(name, STRING, "the key of a map")
                built[name] = item(frame)
            return built

        size = size_of(*keys, *items)
        return self._guarded(Expression(build, MAP, position_of(tree), *size))

    def _key(self, key: Any) -> Expression:
        if not hasattr(key, "type"):
            return self.compile(key)
        text = string_of(str(key)) if key.type == "STRING" else str(key)
        return Expression(lambda _frame: text, STRING, key.start_pos)

    def _name(self, tree: Tree) -> Expression:
        name, position = str(tree.children[0]), position_of(tree)
        if name in self._variables:
            return Expression(lambda frame: frame.variables[name], self._variables[name], position)
        if name not in self._names:
            known = ", ".join(self._names) or "only functions"
            what = (
                f"the function {name} is not called"
                if name in FUNCTIONS
                else f"unknown name `{name}`; there is {known}"
            )
            raise OperationError(what)
        return Expression(lambda frame: frame.result, self._names[name], position)

    def _let(self, tree: Tree) -> Expression:
        name, given, body = tree.children
        text = str(name)
        if (
            text in self._variables
            or text in self._names
            or text in FUNCTIONS
            or text in LOOPS
            or text == "now"
        ):
            raise OperationError(f"`{text}` has a meaning already")
        value = self.compile(given)
        self._variables[text] = value.kind
        inner = self.compile(body)
        del self._variables[text]
        bind, run = value.run, inner.run

        def let(frame: Frame) -> Any:
            frame.variables[text] = bind(frame)
            return run(frame)

        return Expression(let, inner.kind, position_of(tree), *size_of(value, inner))

    def _ternary(self, tree: Tree) -> Expression:
        return self._decision(tree, *(self.compile(child) for child in tree.children))

    def _elvis(self, tree: Tree) -> Expression:
        condition, other = (self.compile(child) for child in tree.children)
        return self._decision(tree, condition, condition, other)

    def _decision(self, tree: Tree, condition: Expression, one: Expression, other: Expression) -> Expression:
        if not fits(condition.kind, BOOL):
            raise OperationError(f"a condition is true or false, not {condition.kind}")
        test, yes, no = condition.run, one.run, other.run

        def decide(frame: Frame) -> Any:
            value = test(frame)
            values.require(value, BOOL, "a condition")
            return yes(frame) if value else no(frame)

        kind = one.kind if one.kind == other.kind else ANY
        size = size_of(condition, one, other)
        return self._guarded(Expression(decide, kind, position_of(tree), *size))

    def _operations(self, tree: Tree) -> Expression:
        return Operations(tree.children, self).bind(0)

    def _prefixed(self, tree: Tree) -> Expression:
        return Operations([tree], self).bind(0)

    def operation(self, sign: str, position: int, *sides: Expression) -> Expression:
        """Return the expression of an operator, whose errors have its place."""
        try:
            made = (
                unary(sign, sides[0], position)
                if len(sides) == 1
                else binary(sign, sides[0], sides[1], position)
            )
            if sign == "matches":
                self._check_pattern(sides[1])
        except OperationError as error:
            raise ConditionError(str(error), self._source, position) from None
        return self._bounded(made if sign in (COALESCE, "==", "!=") else self._guarded(made))

    def refuse(self, message: str, position: int) -> ConditionError:
        """Return the error of a place."""
        return ConditionError(message, self._source, position)

    def _check_pattern(self, pattern: Expression) -> None:
        """Refuse a written pattern that is no regular expression, before anything is matched with it."""
        if (
            pattern.kind == STRING
            and pattern.size == 1
            and self._source[pattern.position : pattern.position + 1] in "'\""
        ):
            pattern_of(pattern.run(Frame(None, datetime.min.replace(tzinfo=UTC))))

    def pipe(self, value: Expression, piped: Tree) -> Expression:
        """Return the call of a function with a value before its other arguments."""
        name, arguments = piped.children
        return self._called(str(name), [value, *_children(arguments)], position_of(piped))

    def _chain(self, tree: Tree) -> Expression:
        base, *suffixes = tree.children
        made = self.compile(base)
        while suffixes:
            count = next((i for i, each in enumerate(suffixes) if not _is_member(each)), len(suffixes))
            made = self._members(made, suffixes[:count]) if count else self._part(made, suffixes[0])
            suffixes = suffixes[count or 1 :]
        return made

    def _members(self, base: Expression, suffixes: Sequence[Any]) -> Expression:
        """Return the value at the end of names; after `?.` nil ends them all."""
        made = base
        optional_at = next((i for i, each in enumerate(suffixes) if each.data == "optional_member"), None)
        if optional_at is None:
            for suffix in suffixes:
                made = self._member(made, suffix)
            return made
        before = self._members(base, suffixes[:optional_at])
        cell = Expression(lambda frame: frame.variables[key], before.kind, before.position)
        key = f"?{suffixes[optional_at].meta.start_pos}"
        rest = self._member(cell, suffixes[optional_at])
        rest = self._members(rest, suffixes[optional_at + 1 :])
        start, run = before.run, rest.run

        def optional(frame: Frame) -> Any:
            value = start(frame)
            if value is None:
                return None
            frame.variables[key] = value
            return run(frame)

        return self._bounded(Expression(optional, ANY, base.position, *size_of(before, rest)))

    def _member(self, base: Expression, suffix: Tree) -> Expression:
        target, arguments = suffix.children
        name = str(target.children[0])
        position = position_of(target)
        run = base.run
        if arguments is not None:
            given = [self.compile(each) for each in _children(arguments)]
            try:
                made = method(name, base, given, position)
            except OperationError as error:
                raise self.refuse(str(error), position) from None
            return self._bounded(self._guarded(made))
        if not fits(base.kind, MAP):
            raise self.refuse(f"{base.kind} has no member `{name}`", position)
        size = size_of(base)
        return self._bounded(
            self._guarded(Expression(lambda frame: values.fetch(run(frame), name), ANY, position, *size))
        )

    def _part(self, base: Expression, suffix: Tree) -> Expression:
        position, run = position_of(suffix), base.run
        ends = [None if each is None else self.compile(each) for each in suffix.children]
        size = size_of(base, *filter(None, ends))
        if suffix.data == "index":
            (key,) = ends
            assert key is not None, "the grammar has an index in it"
            if not fits(base.kind, f"{MAP}|{ARRAY}") or (base.kind == ARRAY and not fits(key.kind, INT)):
                raise self.refuse(f"{base.kind} has no item for {key.kind}", position)
            fetch = key.run
            return self._bounded(
                self._guarded(
                    Expression(lambda frame: values.fetch(run(frame), fetch(frame)), ANY, position, *size)
                )
            )
        start, end = (each.run if each else _nothing for each in ends)
        kind = base.kind if base.kind in (ARRAY, STRING) else ANY
        made = Expression(
            lambda frame: values.cut(run(frame), start(frame), end(frame)), kind, position, *size
        )
        return self._bounded(self._guarded(made))

    def _call(self, tree: Tree) -> Expression:
        name, arguments = tree.children
        return self._called(str(name), _children(arguments), position_of(tree))

    def _called(self, name: str, arguments: Sequence[Any], position: int) -> Expression:
        if name in LOOPS and not (name in FUNCTIONS and not self._has_predicate(name, arguments)):
            return self._looped(name, arguments, position)
        given = [each if isinstance(each, Expression) else self.compile(each) for each in arguments]
        if name == "now" and not given:
            return Expression(lambda frame: frame.now, TIME, position)
        if name not in FUNCTIONS:
            what = "now takes no arguments" if name == "now" else f"unknown function `{name}`"
            raise self.refuse(what, position)
        return self._guarded(called(name, given, position))

    def _has_predicate(self, name: str, arguments: Sequence[Any]) -> bool:
        """Whether the second argument of `sum` or `sortBy` is a predicate: the first form has none, or a text."""
        if len(arguments) < 2:
            return False
        second = arguments[1]
        return name == "sum" or isinstance(second, Expression) or second.data != "string"

    def _looped(self, name: str, arguments: Sequence[Any], position: int) -> Expression:
        most = 3 if name == "reduce" else 2
        if not 2 <= len(arguments) <= most:
            raise self.refuse(f"{name} takes an array and a predicate", position)
        items = arguments[0] if isinstance(arguments[0], Expression) else self.compile(arguments[0])
        if not fits(items.kind, ARRAY):
            raise self.refuse(f"{name} takes an array, not {items.kind}", position)
        self._loops.append(name)
        predicate = self.compile(arguments[1])
        self._loops.pop()
        initial = self.compile(arguments[2]) if len(arguments) == 3 else None
        wanted, returns = LOOPS[name]
        if not fits(predicate.kind, wanted):
            raise self.refuse(f"the predicate of {name} is true or false, not {predicate.kind}", position)
        if predicate.kind == NIL:
            raise self.refuse(f"the predicate of {name} has no value", position)
        size = size_of(items, predicate, *([initial] if initial else []))
        run = loop(name, items.run, predicate, initial.run if initial else None)
        return self._guarded(Expression(run, returns, position, *size))

    def _braced(self, tree: Tree) -> Expression:
        if not self._loops:
            raise OperationError("braces stand around the predicate of a function like `all`")
        return self.compile(tree.children[0])

    def _pointer(self, tree: Tree) -> Expression:
        name = tree.children[0]
        return self._item(str(name or ""), position_of(tree))

    def _item(self, name: str, position: int) -> Expression:
        if not self._loops:
            raise self.refuse("`#` and `.name` stand in the predicate of a function like `all`", position)
        if name == "":
            return Expression(lambda frame: frame.item, ANY, position)
        if name == "index" and self._loops[-1] in ("map", "reduce"):
            return Expression(lambda frame: frame.index, INT, position)
        if name == "acc" and self._loops[-1] == "reduce":
            return Expression(lambda frame: frame.accumulated, ANY, position)
        raise self.refuse(f"unknown pointer `#{name}`", position)

    def _pointer_member(self, tree: Tree) -> Expression:
        return self._member(self._item("", position_of(tree)), tree)


def _children(arguments: Any) -> list[Any]:
    return [child for child in arguments.children if child is not None]


def _is_member(suffix: Tree) -> bool:
    return suffix.data in ("member", "optional_member")


def _nothing(_frame: Frame) -> None:
    """Return the end of a slice that is not given."""
