"""Parse expressions into trees. Pure.

Source: expr-lang, `parser/parser.go` and `parser/lexer/state.go`. A tree has the operators of one level as a list, in
their order; `operators` binds them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rollway.analysis.conditions.errors import ConditionError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

LENGTH = 8192
"""How many characters an expression may have."""

_GRAMMAR = r"""
?start: expression

?expression: "let" NAME "=" expression ";" expression -> let
    | conditional
?conditional: operations "?" expression ":" expression -> ternary
    | operations "?" ":" expression -> elvis
    | operations
?operations: operand ((operator operand) | piped)*
operator: COMPARISON | POWER | FACTOR | SIGN | RANGE | OR | OR_SIGN | AND | AND_SIGN | COALESCE
    | IN | MATCHES | CONTAINS | STARTS_WITH | ENDS_WITH
    | NOT (IN | MATCHES | CONTAINS | STARTS_WITH | ENDS_WITH) -> negated_operator
piped: "|" NAME arguments
?operand: (SIGN | NOT | NOT_SIGN)+ chain -> prefixed
    | chain
?chain: primary suffix*
?suffix: "." property [arguments] -> member
    | "?." property [arguments] -> optional_member
    | "[" expression "]" -> index
    | "[" [expression] ":" [expression] "]" -> slice
?primary: NUMBER -> number
    | STRING -> string
    | TRUE -> true
    | FALSE -> false
    | NIL -> nil
    | "(" expression ")"
    | "[" [expression ("," expression)* [","]] "]" -> array
    | "{" [pair ("," pair)* [","]] "}" -> map
    | NAME -> name
    | NAME arguments -> call
    | "#" [NAME] -> pointer
    | "." property [arguments] -> pointer_member
pair: (NAME | STRING | NUMBER | "(" expression ")") ":" expression
arguments: "(" [argument ("," argument)*] ")"
?argument: expression
    | "{" expression "}" -> braced
property: NAME | IN | NOT | OR | AND | MATCHES | CONTAINS | STARTS_WITH | ENDS_WITH | TRUE | FALSE | NIL

TRUE: "true"
FALSE: "false"
NIL: "nil"
IN: "in"
NOT: "not"
OR: "or"
AND: "and"
MATCHES: "matches"
CONTAINS: "contains"
STARTS_WITH: "startsWith"
ENDS_WITH: "endsWith"
NOT_SIGN: "!"
OR_SIGN: "||"
AND_SIGN: "&&"
RANGE: ".."
COALESCE: "??"
COMPARISON: "==" | "!=" | "<=" | ">=" | "<" | ">"
SIGN: "+" | "-"
POWER: "**" | "^"
FACTOR: "*" | "/" | "%"
NUMBER.2: /(0[xX][0-9a-fA-F_]+|([0-9][0-9_]*(\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?)(?![\w$])/
STRING: /"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'/
NAME: /[^\W\d][\w$]*|\$[\w$]+/
%ignore /\s+/
%ignore /\/\/[^\n]*/
%ignore /\/\*(.|\n)*?\*\//
"""


@functools.cache
def _parser() -> Lark:
    from lark import Lark  # noqa: PLC0415 - 100 ms that only an expression needs

    return Lark(_GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(source: str) -> Tree[Token]:
    """Return the tree of an expression.

    Raises:
        ConditionError: it is too long, or no expression; the error has the place.
    """
    if len(source) > LENGTH:
        raise ConditionError(f"an expression has at most {LENGTH} characters", source, LENGTH)
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    try:
        return _parser().parse(source)
    except UnexpectedInput as error:
        raise ConditionError(_problem(error, source), source, _position(error, source)) from None


def _position(error: UnexpectedInput, source: str) -> int:
    position = error.pos_in_stream
    token: Any = getattr(error, "token", None)
    at_end = token is not None and token.type == "$END"
    return len(source) if at_end else int(position or 0)


def _problem(error: UnexpectedInput, source: str) -> str:
    position = _position(error, source)
    if not source.strip():
        return "the expression is empty"
    if position >= len(source):
        return "the expression ends too early"
    text = str(getattr(error, "token", source[position]))
    return f"unexpected `{text}`"
