"""The decorator form: calls answered from the cache, with their types and by their arguments."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from tests.caching.conftest import MortalServer
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient, cached
from valkeyctl.errors import InvalidKeyError, UnreachableError, UsageError


class Model(BaseModel):
    name: str
    context: int = 1000


@pytest.fixture
def cache(client: ValkeyClient) -> CacheService:
    """A service on an empty server; a generous budget, for machines that stutter."""
    return CacheService(client, app="t", budget=1.0)


def counting(calls: list[object]) -> Callable[..., Any]:
    """Return an async function of two arguments that notes its calls."""

    async def load(name: str, region: str = "eu") -> dict[str, str]:
        calls.append((name, region))
        return {"name": name, "region": region}

    return load


async def test_a_second_call_is_a_hit(cache: CacheService) -> None:
    """However it is written; another argument is another call."""
    calls: list[object] = []
    load = cache.cached("metadata")(counting(calls))

    first = await load("a")
    second = await load(region="eu", name="a")
    other = await load("a", "us")

    assert first == second == {"name": "a", "region": "eu"}
    assert other["region"] == "us"
    assert calls == [("a", "eu"), ("a", "us")]


async def test_calls_that_miss_together_are_one_call(cache: CacheService) -> None:
    """The decorator has single-flight, as the cache has."""
    calls: list[object] = []
    load = cache.cached("metadata")(counting(calls))

    await asyncio.gather(*(load("a") for _ in range(50)))

    assert len(calls) == 1


async def test_a_hit_has_the_type_that_the_function_says(cache: CacheService) -> None:
    """A model comes back as a model, not as a dict."""

    @cache.cached("metadata")
    async def load(name: str) -> list[Model]:
        return [Model(name=name)]

    assert await load("a") == await load("a") == [Model(name="a")]
    assert cache.stats()["metadata"].hits == 1


async def test_a_result_of_a_function_without_annotation_never_changes_its_type(
    cache: CacheService,
) -> None:
    """A model would come back as a dict, so it is not stored; that is logged once."""

    @cache.cached("metadata")
    async def load(name: str):  # type: ignore[no-untyped-def]
        return [Model(name=name)] if name == "model" else {"name": name}

    with capture_logs() as logs:
        models = [await load("model") for _ in range(3)]
    plain = [await load("plain") for _ in range(3)]

    assert models == [[Model(name="model")]] * 3
    assert plain == [{"name": "plain"}] * 3
    assert (cache.stats()["metadata"].hits, cache.stats()["metadata"].writes) == (2, 1)
    assert [log["event"] for log in logs] == ["cache_value_refused"]


async def test_form_says_the_type_instead(cache: CacheService) -> None:
    """Where the annotation says too little, or None for plain values."""

    @cache.cached("metadata", form=Model)
    async def model(name: str) -> object:
        return Model(name=name)

    @cache.cached("metadata", form=None)
    async def plain(name: str) -> dict[str, object]:
        return {"name": name, "more": [1]}

    assert await model("a") == await model("a") == Model(name="a")
    assert await plain("a") == await plain("a") == {"name": "a", "more": [1]}
    assert cache.stats()["metadata"].hits == 2


async def test_a_shelf_decorates_as_well(cache: CacheService) -> None:
    """A typed one knows its type already; one of plain values goes by the annotation."""

    @cache.shelf("metadata", Model).cached(key="typed:{name}")
    async def typed(name: str):  # type: ignore[no-untyped-def]
        return Model(name=name)

    @cache.shelf("metadata").cached()
    async def annotated(name: str) -> Model:
        return Model(name=name)

    assert await typed("a") == await typed("a") == await annotated("a") == await annotated("a")
    assert await cache.get("metadata", "typed:a") == {"name": "a", "context": 1000}


async def test_a_key_makes_entries_that_others_find(cache: CacheService) -> None:
    """The template is the whole id; ttl and tags are the entry's."""

    @cache.cached("metadata", key="{name}", ttl=60, tags=lambda name: [f"model-{name}"])
    async def load(name: str) -> Model:
        return Model(name=name)

    await load("gpt-x")

    assert load.id("gpt-x") == "gpt-x"
    assert await cache.get("metadata", "gpt-x") == {"name": "gpt-x", "context": 1000}
    assert 55 < (await cache.client.ttl("t:metadata:gpt-x") or 0) <= 60
    await cache.invalidate_tag("model-gpt-x")
    assert await cache.get("metadata", "gpt-x") is None


async def test_refresh_loads_anew_and_stores(cache: CacheService) -> None:
    """For one set of arguments; the others stay."""
    calls: list[object] = []
    load = cache.cached("metadata")(counting(calls))
    await load("a")
    await load("b")

    await load.refresh("a")
    await load("a")
    await load("b")

    assert calls == [("a", "eu"), ("b", "eu"), ("a", "eu")]


async def test_delete_forgets_one_call(cache: CacheService) -> None:
    """And says whether there was something to forget."""
    calls: list[object] = []
    load = cache.cached("metadata")(counting(calls))
    await load("a")
    await load("b")

    assert await load.delete("a", region="eu")
    assert not await load.delete("a")
    await load("a")
    await load("b")

    assert calls == [("a", "eu"), ("b", "eu"), ("a", "eu")]


async def test_uncached_is_the_function_itself(cache: CacheService) -> None:
    """For a caller that wants to be sure."""
    calls: list[object] = []
    function = counting(calls)
    load = cache.cached("metadata")(function)

    await load.uncached("a")
    await load.uncached("a")

    assert load.uncached is function
    assert len(calls) == 2
    assert await cache.client.exists(f"t:metadata:{load.id('a')}") == 0


async def test_keep_says_what_is_worth_storing(cache: CacheService) -> None:
    """On refresh too, which dogpile.cache forgot."""
    calls: list[object] = []
    load = cache.cached("metadata", keep=lambda found: found["name"] != "a")(counting(calls))

    await load("a")
    await load.refresh("a")
    await load("a")

    assert len(calls) == 3


async def test_an_exception_is_the_callers_and_is_not_stored(cache: CacheService) -> None:
    """The next call tries again."""
    answers: list[Exception | str] = [LookupError("no such model"), "found"]

    @cache.cached("metadata")
    async def load(name: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return f"{answer} {name}"

    with pytest.raises(LookupError, match="no such model"):
        await load("a")

    assert await load("a") == "found a"


async def test_methods_are_bound_with_all_that_belongs_to_them(cache: CacheService) -> None:
    """`repository.load.delete(name)` knows its repository."""
    calls: list[str] = []

    class Shop:
        def __init__(self, id: str) -> None:  # noqa: A002
            self.id = id

        @cache.cached("metadata", key="{self.id}:{name}")
        async def load(self, name: str, /) -> str:
            calls.append(name)
            return f"{name} of {self.id}"

        @cache.cached("metadata", ignore=("self",))
        async def shared(self, name: str) -> str:
            calls.append(name)
            return name

    one, two = Shop("1"), Shop("2")

    assert [await one.load("a"), await two.load("a"), await one.load("a")] == [
        *("a of 1", "a of 2", "a of 1")
    ]
    assert one.load.id("a") == "1:a"
    assert await one.load.delete("a")
    assert await two.load.refresh("a") == "a of 2"
    assert await one.shared("b") == await two.shared("b") == "b"
    assert calls == ["a", "a", "a", "b"]
    assert await Shop.load(one, "a") == "a of 1"
    assert str(inspect.signature(one.load)) == "(name: 'str', /) -> 'str'"


async def test_an_instance_with_a_stable_form_is_an_argument(cache: CacheService) -> None:
    """A dataclass counts with its fields."""

    @dataclass(frozen=True)
    class Shop:
        id: str

        @cache.cached("metadata")
        async def name(self) -> str:
            return f"shop {self.id}"

        @staticmethod
        @cache.cached("metadata")
        async def of(name: str) -> str:
            return f"of {name}"

    assert [await Shop("1").name(), await Shop("2").name()] == ["shop 1", "shop 2"]
    assert await Shop.of("1") == await Shop.of("1") == "of 1"


async def test_an_instance_without_one_is_refused(cache: CacheService) -> None:
    """Its address would be the key: never a hit, or another instance's."""

    class Shop:
        @cache.cached("metadata")
        async def name(self) -> str:
            return "x"

    with pytest.raises(UsageError, match=r"argument 'self' of .*Shop\.name"):
        await Shop().name()


async def test_the_cache_may_come_after_the_function(client: ValkeyClient) -> None:
    """Decorated at import, used in the lifespan; until then the function is called."""
    found: dict[str, CacheService] = {}
    calls: list[object] = []
    load = cached(lambda: found.get("cache"), "metadata", key="{name}:{region}")(counting(calls))

    await load("a")
    await load.refresh("a")
    assert not await load.delete("a")
    assert load.id("a") == "a:eu"
    assert load.prepare("a") is None
    assert len(calls) == 2

    found["cache"] = CacheService(client, app="t", budget=1.0)
    await load("a")
    await load("a")
    assert len(calls) == 3

    found["cache"] = CacheService(client, app="other", budget=1.0)
    await load("a")
    assert len(calls) == 4


async def test_the_function_goes_on_without_the_server(server: MortalServer) -> None:
    """Only forgetting raises, for it did not happen."""
    calls: list[object] = []
    async with ValkeyClient(server.endpoint) as client:
        load = CacheService(client, app="t").cached("metadata")(counting(calls))
        await load("a")
        server.kill()

        assert (await load("a"))["name"] == "a"
        assert (await load.refresh("a"))["name"] == "a"
        with pytest.raises(UnreachableError):
            await load.delete("a")
    assert len(calls) == 3


def test_what_is_decorated_looks_like_the_function(cache_of_nobody: CacheService) -> None:
    """To help(), to FastAPI, and to whoever unwraps it."""

    @cache_of_nobody.cached("metadata")
    async def load(name: str, *, size: int = 3) -> str:
        """Load it."""
        return name

    assert load.__name__ == "load"
    assert load.__doc__ == "Load it."
    assert str(inspect.signature(load)) == "(name: 'str', *, size: 'int' = 3) -> 'str'"
    assert inspect.unwrap(load) is load.uncached
    assert "test_calls" in repr(load)


@pytest.fixture
def cache_of_nobody() -> CacheService:
    """A service that never meets a server."""
    return CacheService(ValkeyClient("redis://127.0.0.1:1"), app="t")


def blocking(name: str) -> str:
    return name


def generating(name: str) -> object:
    yield name


async def streaming(name: str) -> AsyncIterator[str]:
    yield name


async def nothing(name: str) -> None: ...


async def connection(name: str) -> asyncio.StreamReader:
    raise NotImplementedError(name)


async def fine(name: str) -> str:
    return name


class Callable_:  # noqa: N801
    async def __call__(self, name: str) -> str:
        return name


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (blocking, "blocking is no async function"),
        (generating, "one by one"),
        (streaming, "one by one"),
        (nothing, "returns nothing"),
        (connection, r"what .*connection returns cannot be cached"),
        (staticmethod(fine), "is a staticmethod"),
        (functools.partial(fine, "a"), "is no async function"),
        (Callable_(), "is no async function"),
    ],
)
def test_what_cannot_be_cached_is_told_at_the_decorator(
    function: Any, message: str, cache_of_nobody: CacheService
) -> None:
    """Before the first call, also where the cache comes later."""
    with pytest.raises(UsageError, match=message):
        cached(cache_of_nobody, "metadata")(function)
    with pytest.raises(UsageError, match=message):
        cached(lambda: None, "metadata")(function)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": "one"}, "tags are a list"),
        ({"tags": lambda other: [other]}, r"tags= of .*fine asks for 'other'"),
        ({"name": "two words"}, "'two words' cannot be part of a key"),
        ({"ttl": 0}, "ttl must be above zero"),
        ({"form": asyncio.StreamReader}, "cannot be cached"),
        ({"key": "constant"}, "does not depend on 'name'"),
        ({"ignore": ("other",)}, "ignore="),
    ],
)
def test_wrong_options_are_told_at_the_decorator(
    options: dict[str, Any], message: str, cache_of_nobody: CacheService
) -> None:
    """By the name of the function."""
    with pytest.raises(UsageError, match=message):
        cache_of_nobody.cached("metadata", **options)(fine)


def test_a_misspelt_option_is_a_type_error(cache_of_nobody: CacheService) -> None:
    """As with any function."""
    with pytest.raises(TypeError, match="tll"):
        cache_of_nobody.cached("metadata", tll=3)  # type: ignore[call-arg]


def test_a_namespace_is_needed_once(cache_of_nobody: CacheService) -> None:
    """A cache has many, a shelf is one; one without policy needs a ttl."""
    with pytest.raises(UsageError, match="in a namespace, or on a shelf"):
        cached(cache_of_nobody)(fine)
    with pytest.raises(UsageError, match="in a namespace, or on a shelf"):
        cached(cache_of_nobody.shelf("metadata"), "metadata")(fine)
    with pytest.raises(InvalidKeyError, match="has no policy"):
        cache_of_nobody.cached("unheard")(fine)


def test_a_type_that_is_defined_further_down_is_met_at_the_first_call(
    cache_of_nobody: CacheService,
) -> None:
    """And one that is never defined is told then."""

    @cache_of_nobody.cached("metadata")
    async def later(name: str) -> Later:
        return Later(name=name)

    @cache_of_nobody.cached("metadata")
    async def never(name: str) -> Never_:  # type: ignore[name-defined] # noqa: F821
        return name

    assert later.prepare("a") is not None
    with pytest.raises(UsageError, match=r"what .*never returns cannot be known") as caught:
        never.prepare("a")
    assert "form=" in str(caught.value.hint)


class Later(BaseModel):
    name: str


async def test_two_functions_of_one_name_are_told_apart(cache_of_nobody: CacheService) -> None:
    """They would share their entries."""

    def first() -> Callable[..., Any]:
        async def load(name: str) -> str:
            return name

        return load

    def second() -> Callable[..., Any]:
        async def load(name: str) -> str:
            return name + name

        load.__qualname__ = one.__qualname__
        return load

    one = first()
    cache_of_nobody.cached("metadata")(one)

    with pytest.raises(UsageError, match="two functions are cached as"):
        cache_of_nobody.cached("metadata")(second())
    cache_of_nobody.cached("metadata", name="second")(second())
    cache_of_nobody.cached("context")(second())


async def test_a_function_that_is_made_with_other_variables_is_told_apart(
    cache_of_nobody: CacheService,
) -> None:
    """No argument would say which of them stored an entry."""

    def made(region: str) -> Callable[..., Any]:
        async def load(name: str) -> str:
            return name + region

        return load

    decorate = cache_of_nobody.cached("metadata")
    decorate(made("eu"))
    decorate(made("eu"))  # the same string: nothing to mix up

    with pytest.raises(UsageError, match="cached twice, with different variables"):
        decorate(made("us"))


async def test_a_function_may_be_defined_anew(cache_of_nobody: CacheService) -> None:
    """As in a notebook, whose cell runs again."""
    scope: dict[str, Any] = {"__name__": "notebook", "cache": cache_of_nobody}
    cell = "@cache.cached('metadata')\nasync def load(name: str) -> str:\n    return "

    exec(cell + "name", scope)  # noqa: S102
    exec(cell + "name + name", scope)  # noqa: S102

    assert scope["load"].id("a") == 'notebook.load(name="a")'


async def test_a_nested_function_may_call_itself(cache: CacheService) -> None:
    """Its own name is no variable that tells two of them apart."""

    def make() -> Callable[..., Any]:
        @cached(lambda: cache, "metadata")
        async def depth(n: int) -> int:
            return 0 if n == 0 else 1 + await depth(n - 1)

        return depth

    assert await make()(3) == 3
    assert await make()(4) == 4


async def test_entries_outlive_the_move_of_a_function_with_a_name(cache: CacheService) -> None:
    """name= stands in for the module and the function."""

    @cache.cached("metadata", name="models")
    async def load(name: str) -> str:
        return name

    assert load.id("a") == 'models(name="a")'


async def test_hits_come_from_this_process_where_the_policy_says_so(client: ValkeyClient) -> None:
    """The near cache works behind the decorator."""
    policies = {"metadata": NamespacePolicy(60, near=60)}
    cache = CacheService(client, app="t", budget=1.0, policies=policies)

    @cache.cached("metadata", key="{name}")
    async def load(name: str) -> Model:
        return Model(name=name)

    for _ in range(200):
        assert await load("a") == Model(name="a")
        if cache.stats()["metadata"].near_hits:
            break

    assert cache.stats()["metadata"].near_hits
