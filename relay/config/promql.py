"""PromQL as it is written: read by promql-parser, with its faults in words.

The parser follows Prometheus' own grammar at one version. A function that it does not know may be a newer one, which
is no reason to refuse a query; a text that it cannot read is.
"""

import re

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
