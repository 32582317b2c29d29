"""What a user sees of a method: the name of the class that was called, and the whole docstring.

A class of the package gets its own copies of the public methods that it inherits. So an error about
a wrong keyword names `LMDBEventStore.search`, and `help` shows the docstring of the contract there.
"""

from __future__ import annotations

from types import FunctionType

__all__ = ["own_public_methods"]


def own_public_methods(cls: type) -> None:
    """Give a class copies of the public methods it inherits, and docstrings to those without."""
    names = {name for base in cls.__mro__ for name in vars(base) if not name.startswith("_")}
    for name in names:
        method = getattr(cls, name)
        if not isinstance(method, FunctionType) or getattr(method, "__isabstractmethod__", False):
            continue
        if name not in vars(cls):
            method = _copied(method, cls)
            setattr(cls, name, method)
        if method.__doc__ is None:
            inherited = (vars(base).get(name) for base in cls.__mro__)
            method.__doc__ = next(filter(None, (one.__doc__ for one in inherited if one)), None)


def _copied(method: FunctionType, cls: type) -> FunctionType:
    parts = method.__code__, method.__globals__, method.__name__, method.__defaults__
    copy = FunctionType(*parts, method.__closure__)
    copy.__kwdefaults__, copy.__annotations__ = method.__kwdefaults__, method.__annotations__
    copy.__doc__, copy.__dict__ = method.__doc__, dict(method.__dict__)
    copy.__module__, copy.__qualname__ = cls.__module__, f"{cls.__qualname__}.{method.__name__}"
    return copy
