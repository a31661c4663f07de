"""The most frequent values of a dimension, out of what a bucket counts. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processing.dimensions import (
    BOT_PAGE,
    BOT_REASON,
    DIMENSIONS,
    OTHER,
    PAGE,
    PROPERTY,
    PROPERTY_VALUE,
    Dimension,
)

# Asks for the values of one property: `prop:plan`.
PROPERTY_OF = "prop:"
# Everything that can be asked for by its name.
ASKABLE = {**DIMENSIONS, **{dimension.name: dimension for dimension in (BOT_PAGE, BOT_REASON)}}


class UnknownDimension(LookupError):
    """Raised when nothing is counted by what was asked for."""


@dataclass(frozen=True)
class Top:
    """The most frequent values, what is counted (`metric`), and how much of it there is in
    `total`; `other`: of values that were not kept; `values`: how many were."""

    metric: str
    results: list[dict[str, Any]]
    total: int
    other: int
    values: int


def top_of(fields: Mapping[str, int], dimension: str, limit: int) -> Top:
    """Of a bucket's fields, or several buckets' added up: most frequent first, ties by value.
    Raises `UnknownDimension`."""
    if dimension.startswith(PROPERTY_OF):
        return _top_of_property(fields, dimension.removeprefix(PROPERTY_OF), limit)
    found = _find(dimension)
    counts = values_of(fields, found.prefix)
    begin = 0 if found is PAGE else len(found.prefix)
    values = Counter({field[begin:]: count for field, count in counts.items()})
    other = fields.get(OTHER + found.prefix, 0)
    return _ranked(values, found.metric, limit, values.total() + other)


def field_of(dimension: str, value: str) -> tuple[str, str]:
    """The field that counts one value, and what it counts. Raises `UnknownDimension`."""
    if dimension.startswith(PROPERTY_OF):
        name = dimension.removeprefix(PROPERTY_OF)
        return f"{PROPERTY_VALUE.prefix}{name}\0{value}", PROPERTY_VALUE.metric
    found = _find(dimension)
    # A path begins with its dimension's character; nothing else may be asked for as one.
    return found.prefix + value.removeprefix(PAGE.prefix * (found is PAGE)), found.metric


def values_of(fields: Mapping[str, int], prefix: str) -> dict[str, int]:
    """What is counted by the values of the dimension that the character stands for."""
    return {field: count for field, count in fields.items() if field.startswith(prefix)}


def _find(dimension: str) -> Dimension:
    try:
        return ASKABLE[dimension]
    except KeyError:
        raise UnknownDimension(dimension) from None


def _top_of_property(fields: Mapping[str, int], name: str, limit: int) -> Top:
    """Of one property; what its values do not add up to is of values that were not kept."""
    begin = f"{PROPERTY_VALUE.prefix}{name}\0"
    values = Counter({f.removeprefix(begin): n for f, n in values_of(fields, begin).items()})
    total = max(fields.get(PROPERTY.prefix + name, 0), values.total())
    return _ranked(values, PROPERTY_VALUE.metric, limit, total)


def _ranked(values: Counter[str], metric: str, limit: int, total: int) -> Top:
    top = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:limit]
    results = [{"value": value, metric: count} for value, count in top]
    return Top(metric, results, total, total - values.total(), len(values))
