"""Which items an expression is about: columns of a table of items in, a mask out.

Letters: I items.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from components.ranking.rules.expression import Both, Comparison, Expression, Kind, Not
from feature_repo import columns

COMPARED: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
UNASKED = (columns.ITEM_INDEX,)  # a position says nothing of an item


def kinds(items: pa.Table) -> dict[str, Kind]:
    """Return the columns that an expression may name, each with its kind.

    >>> kinds(pa.table({"item_id": ["a"], "price": [1.0], "tags": [["new"]]}))
    {'item_id': 'text', 'price': 'number', 'tags': 'texts'}
    """
    return {field.name: _kind(field.type) for field in items.schema if field.name not in UNASKED}


def mask(expression: Expression, items: pa.Table) -> np.ndarray:
    """Tell of each item whether an expression holds, bool [I]; the expression fits the table.

    >>> from components.ranking.rules.expression import parse
    >>> mask(parse("price < 2 or price is unknown"), pa.table({"price": [1.0, 2.0, None]})).tolist()
    [True, False, True]
    """
    if isinstance(expression, Comparison):
        return _compared(expression, items)
    if isinstance(expression, Not):
        return ~mask(expression.of, items)
    parts = [mask(part, items) for part in expression.parts]
    join = np.logical_and if isinstance(expression, Both) else np.logical_or
    return np.asarray(join.reduce(parts))


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _kind(kind.value_type)
        return "texts" if inner == "text" else "numbers" if inner == "number" else "other"
    if pa.types.is_boolean(kind):
        return "flag"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "text"
    return "time" if pa.types.is_temporal(kind) else "other"


def _compared(one: Comparison, items: pa.Table) -> np.ndarray:
    values = items[one.column].to_pylist()
    known = np.asarray([_is_known(value) for value in values], dtype=bool)
    if one.operator in ("is known", "is unknown"):
        return known if one.operator == "is known" else ~known
    wanted = set(one.values)
    if one.operator == "has":
        return np.asarray([value is not None and any(part in wanted for part in value) for value in values], dtype=bool)
    if one.operator == "starts with":
        return np.asarray([value is not None and value.startswith(tuple(wanted)) for value in values], dtype=bool)
    if one.operator in COMPARED:
        numbers = np.asarray([np.nan if value is None else float(value) for value in values])
        return np.asarray(COMPARED[one.operator](numbers, float(one.values[0])) & known)
    among = np.asarray([value in wanted for value in values], dtype=bool)
    return np.asarray((~among if one.operator in ("!=", "not in") else among) & known)


def _is_known(value: object) -> bool:
    return value is not None and value == value  # NaN is unknown too
