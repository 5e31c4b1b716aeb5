"""`cached`: the decorator form. Calls of an async function, answered from a cache.

What the id of a call is made of: `callid`. A hit gives what a miss gave: the type of the
values is the function's return annotation. A result that would come back as something
else, such as a model of a function without an annotation, is returned and not stored.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from enum import Enum
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    NamedTuple,
    ParamSpec,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    cast,
    overload,
)

import structlog

from valkeyctl.caching.callid import Binder, CallText, Chosen, call_id, usable
from valkeyctl.caching.resulttype import NotYetDefinedError, check_form, is_plain, result_form
from valkeyctl.caching.shelf import Shelf
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.caching.cache import CacheService
    from valkeyctl.caching.loads import Loader

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

Source: TypeAlias = "Shelf[Any] | CacheService | Callable[[], CacheService | None]"
"""Where results are stored; the type of a shelf's values is that of the results."""

_log = structlog.get_logger("valkeyctl.caching")


class _Form(Enum):
    BY_ANNOTATION = "by annotation"


BY_ANNOTATION: Final = _Form.BY_ANNOTATION
"""For ``form=``: the type of the results is what the function's return annotation says."""


class CallOptions(TypedDict, total=False):
    """How the calls of a function are cached; what `cached` takes by keyword."""

    ttl: float | None
    tags: Collection[str] | Callable[..., Collection[str]]
    key: str | Callable[..., str] | None
    ignore: Collection[str]
    form: object
    keep: Callable[..., bool] | None
    name: str | None


class Call(NamedTuple, Generic[R]):
    """What one call of a cached function comes down to.

    Attributes:
        shelf: Where its result is stored.
        id: Under which id.
        load: Calls the function itself.
        ttl: Seconds that the result is fresh; None takes the policy's.
        tags: Of the entry.
        keep: Says whether a result may be stored; None stores all.
    """

    shelf: Shelf[R]
    id: str
    load: Loader[R]
    ttl: float | None
    tags: Collection[str]
    keep: Callable[[R], bool] | None


class Definition(Generic[R]):
    """A function and how its calls are cached; what all that `Cached` makes of it share.

    Args:
        function: The function.
        source: As `cached`.
        namespace: As `cached`.
        options: As `cached`.

    Raises:
        UsageError: As `cached`.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[R]],
        source: Source,
        namespace: str | None,
        options: CallOptions,
    ) -> None:
        name, tags = options.get("name"), options.get("tags", ())
        self._plain = _checked(function)
        self.function = function
        self.name = name or f"{self._plain.__module__}.{self._plain.__qualname__}"
        if name is not None and usable(name) != name:
            raise UsageError(f"the name {name!r} cannot be part of a key")
        if isinstance(tags, str):
            raise UsageError(f"tags are a list of strings, not the string {tags!r}")
        if (namespace is None) != isinstance(source, Shelf):
            raise UsageError(
                f"{self.name} is to be cached in a namespace, or on a shelf, which has one",
                hint='Write cached(cache, "metadata"), or cached(shelf)',
            )
        self._source = source
        self._namespace = namespace
        self._options = options
        self._bind = Binder(function)
        names = self._bind.names
        self._id = call_id(self.name, names, options.get("key"), options.get("ignore", ()))
        self._tags = Chosen(tags, names, f"tags= of {self.name}") if callable(tags) else tags
        self._form: object = BY_ANNOTATION
        self._cache: object = None
        self._shelf: Shelf[R] | None = None
        self._warned = False
        # At once where that is possible, so that what is wrong is told at the decorator.
        with suppress(NotYetDefinedError):
            if callable(source):
                self._resolve()
            else:
                self._open(source)

    def prepare(self, args: tuple[object, ...], kwargs: dict[str, object]) -> Call[R] | None:
        """Return what a call comes down to; None while there is no cache.

        Raises:
            TypeError: The function cannot be called so.
            UsageError: An argument cannot be part of an id; or the annotation still has a
                name in it that is not defined, or the namespace neither policy nor ttl.
        """
        cache = self._source() if callable(self._source) else self._source
        if cache is None:
            return None
        try:
            shelf = self._open(cache)
        except NotYetDefinedError as error:
            raise UsageError(
                f"what {self.name} returns cannot be known: {error}",
                hint="Say the type of its results with form=",
            ) from error
        arguments = self._bind(args, kwargs)
        function, tags = self.function, self._tags
        return Call(
            shelf,
            self._id(arguments),
            lambda: function(*args, **kwargs),
            self._options.get("ttl"),
            cast("Collection[str]", tags(arguments)) if isinstance(tags, Chosen) else tags,
            self._keeps_plain if shelf.space.form is None else self._options.get("keep"),
        )

    def id(self, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        """Return the id of a call.

        Raises:
            TypeError, UsageError: As `prepare`.
        """
        return self._id(self._bind(args, kwargs))

    def _open(self, cache: Shelf[object] | CacheService) -> Shelf[R]:
        if self._shelf is not None and cache is self._cache:
            return self._shelf
        shelf = cache if isinstance(cache, Shelf) else cache.shelf(cast("str", self._namespace))
        shelf.space.lifetime(self._options.get("ttl"))
        if not isinstance(self._tags, Chosen):
            shelf.works.keys.tag_words(self._tags)
        if self._options.get("name") is None and isinstance(self._id, CallText):
            shelf.space.names.claim(self.name, self._plain)
        if shelf.space.form is None or "form" in self._options:
            form = self._resolve()
            shelf = shelf if form is None else shelf.typed(form)
        self._cache, self._shelf = cache, cast("Shelf[R]", shelf)
        return self._shelf

    def _resolve(self) -> object:
        """Return the type of the results; None for plain values."""
        if self._form is BY_ANNOTATION:
            form = self._options.get("form", BY_ANNOTATION)
            if form is BY_ANNOTATION:
                form = result_form(self._plain, self.name)
            elif form is not None:
                check_form(form, self.name)
            self._form = form
        return self._form

    def _keeps_plain(self, result: R) -> bool:
        if not is_plain(result):
            if not self._warned:
                self._warned = True
                _log.warning(
                    "cache_value_refused",
                    function=self.name,
                    reason="its type is not annotated, so it would come back as a dict",
                )
            return False
        keep = self._options.get("keep")
        return keep is None or keep(result)


class Cached(Generic[P, R]):
    """An async function whose results are cached; called as the function itself.

    A method of a class is one as well: what belongs to an instance counts as its argument
    ``self``, which has to have a stable form or to be ignored.
    """

    __name__: str
    __wrapped__: Callable[P, Awaitable[R]]

    def __init__(self, definition: Definition[R]) -> None:
        self._definition = definition
        self._receiver: tuple[object, ...] = ()
        functools.update_wrapper(self, definition.function)
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stored result of such a call, or else what the function returns.

        Raises:
            UsageError: An argument cannot be part of an id.
            Exception: What the function raised.
        """
        call = self._definition.prepare((*self._receiver, *args), kwargs)
        if call is None:
            return await self.uncached(*args, **kwargs)
        return await call.shelf.get_or_load(call.id, call.load, call.ttl, call.tags, call.keep)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, and let its result take the place of the stored one.

        Raises:
            As the call.
        """
        call = self._definition.prepare((*self._receiver, *args), kwargs)
        if call is None:
            return await self.uncached(*args, **kwargs)
        found = await call.shelf.fetch(
            call.id, call.load, ttl=call.ttl, tags=call.tags, keep=call.keep, refresh=True
        )
        return found.value

    async def delete(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the result of such a call; False when none was stored.

        Raises:
            UsageError: An argument cannot be part of an id.
            ValkeyctlError: The server did not confirm it; as `Shelf.delete`.
        """
        call = self._definition.prepare((*self._receiver, *args), kwargs)
        return False if call is None else await call.shelf.delete(call.id)

    def id(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the id under which the result of such a call is stored.

        Raises:
            UsageError: An argument cannot be part of an id.
        """
        return self._definition.id((*self._receiver, *args), kwargs)

    def prepare(self, *args: P.args, **kwargs: P.kwargs) -> Call[R] | None:
        """Return what such a call comes down to, and call nothing; None while there is no cache.

        Raises:
            UsageError: An argument cannot be part of an id.
        """
        return self._definition.prepare((*self._receiver, *args), kwargs)

    @property
    def uncached(self) -> Callable[P, Awaitable[R]]:
        """The function itself."""
        return self.__wrapped__

    def __repr__(self) -> str:
        return f"<cached {self._definition.name}>"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(
        self: Cached[Concatenate[S, Q], R], instance: S, owner: type | None = None
    ) -> Cached[Q, R]: ...

    def __get__(self, instance: object, owner: type | None = None) -> object:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._receiver = (instance,)
        bound.__wrapped__ = self._definition.function.__get__(instance)
        return bound


def cached(
    source: Source,
    namespace: str | None = None,
    *,
    ttl: float | None = None,
    tags: Collection[str] | Callable[..., Collection[str]] = (),
    key: str | Callable[..., str] | None = None,
    ignore: Collection[str] = (),
    form: object = BY_ANNOTATION,
    keep: Callable[..., bool] | None = None,
    name: str | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
    """Return a decorator that answers calls of an async function from a cache.

    ``@shelf.cached(...)`` and ``@cache.cached("metadata", ...)`` are this too. Calls that
    miss together are one call, over all processes; its result is one object, which nobody
    should change. Exceptions are not stored.

    Args:
        source: A shelf, a cache, or a callable that returns the cache, for functions that
            are decorated before there is one. While it returns None the function is
            called as if it were not decorated.
        namespace: Of a cache; a shelf has its own.
        ttl: Seconds that a result is fresh, exactly; None takes the policy's.
        tags: Of each entry, or a callable that returns them. It gets the arguments of the
            call that its parameters name.
        key: What the id is: a template such as ``"model:{name}"``, or a callable as for
            tags. None makes it of the function's name and all arguments.
        ignore: Parameters that do not change the result, such as ``("self", "session")``.
        form: Type of the results, as `CacheService.shelf` takes it; None for plain values.
        keep: Says whether a result may be stored; None stores all.
        name: What ids begin with instead of the function's module and name, so that
            results outlive a function's move. With ``key`` it is only for messages.

    Raises:
        UsageError: The function is not async, or a generator; its results cannot be
            stored; key, tags or ignore do not fit its parameters; or another function
            of the same name is cached there.
        InvalidKeyError: The namespace breaks the rules, or has neither policy nor ttl.
    """
    options: CallOptions = {
        "ttl": ttl,
        "tags": tags,
        "key": key,
        "ignore": ignore,
        "keep": keep,
        "name": name,
    }
    if form is not BY_ANNOTATION:
        options["form"] = form

    def decorate(function: Callable[P, Awaitable[R]]) -> Cached[P, R]:
        return Cached(Definition(function, source, namespace, options))

    return decorate


def _checked(function: object) -> FunctionType:
    """Return *function* if its calls can be cached.

    Raises:
        UsageError: They cannot.
    """
    shown = getattr(function, "__qualname__", None) or type(function).__qualname__
    if isinstance(function, (staticmethod, classmethod)):
        raise UsageError(
            f"{shown} is a {type(function).__name__}, and not a function yet",
            hint=f"Write @{type(function).__name__} above the decorator of the cache",
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{shown} yields its results one by one, which cannot be cached so",
            hint="Cache a function that returns them as a list",
        )
    if not isinstance(function, FunctionType) or not inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{shown} is no async function",
            hint="Declare it with async def; the cache never blocks the event loop",
        )
    return function
