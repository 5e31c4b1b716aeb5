"""Equality that no stored value may slip through."""

from __future__ import annotations

import math


def same(one: object, other: object) -> bool:
    """Say whether two values are equal in type too, at every depth, with signs of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(map(same, one.items(), other.items()))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one):
            return math.isnan(other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other
