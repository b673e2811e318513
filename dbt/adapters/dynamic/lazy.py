"""Attributes that are computed when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 (a decorator)
    """An attribute whose value is kept by its object once it was computed.

    As ``functools.cached_property``, which before Python 3.12 computes under one lock for all
    objects of a class. A thread that computed such an attribute and had to wait for its turn at
    the lakes, and another one that had the turn and asked its own object, waited for each other
    for ever. Here nobody waits; of two threads that ask one object at once both compute.

    Args:
        compute: the method that gives the value.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        value = self._compute(instance)
        # Found there before this is: it has no __set__.
        instance.__dict__[self._name] = value
        return value
