"""PromQL as it is written: read by promql-parser, with its faults in words.

The parser follows Prometheus' own grammar at one version. A function that it does not know may be a newer one, which
is no reason to refuse a query; a text that it cannot read is.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

import promql_parser

_UNKNOWN = re.compile(r"unknown function with name '(?P<name>.*)'")
_TEXTS = (promql_parser.StringLiteral, promql_parser.MatrixSelector, promql_parser.SubqueryExpr)
"""Expressions whose value is no number: a text, or a range of samples."""


class UnknownFunction(Exception):
    """The query calls a function that the parser does not know; the rest of it could not be looked at."""


def read_query(query: str) -> promql_parser.Expr:
    """Parse a query that shall give numbers.

    Raises ValueError with what is wrong with it, and `UnknownFunction`, whose text is the function's name.
    """
    try:
        expression: promql_parser.Expr = promql_parser.parse(query)
    except ValueError as error:
        if unknown := _UNKNOWN.fullmatch(str(error)):
            raise UnknownFunction(unknown["name"]) from None
        raise ValueError(f"write PromQL: {error}") from None
    if isinstance(expression, _TEXTS):
        raise ValueError("write PromQL that gives a number: this gives a text, or samples over time")
    return expression


_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operand op number`: a query that gives its operand's samples where they meet the threshold."""

    operand: str
    op: str
    number: float

    def holds(self, value: float) -> bool:
        """Compare as Prometheus does: NaN only ever differs."""
        return _HOLDS[self.op](value, self.number)

    @property
    def above(self) -> bool:
        """Say whether a larger value is the worse one."""
        return self.op in (">", ">=")

    def __str__(self) -> str:
        return f"{self.operand} {self.op} {self.number:g}"


def comparison(expression: promql_parser.Expr) -> Comparison | None:
    """Take a query apart that compares something with a number. One with `bool` is none: it gives every sample."""
    bare = _bare(expression)
    if not isinstance(bare, promql_parser.BinaryExpr) or str(bare.op) not in _HOLDS:
        return None
    if bare.modifier and bare.modifier.return_bool:
        return None
    op, left, right = str(bare.op), _bare(bare.lhs), _bare(bare.rhs)
    if isinstance(right, promql_parser.NumberLiteral):
        return Comparison(bare.lhs.prettify(), op, right.val)
    if isinstance(left, promql_parser.NumberLiteral):
        return Comparison(bare.rhs.prettify(), _TURNED[op], left.val)
    return None


def _bare(expression: promql_parser.Expr) -> promql_parser.Expr:
    while isinstance(expression, promql_parser.ParenExpr):
        expression = expression.expr
    return expression
