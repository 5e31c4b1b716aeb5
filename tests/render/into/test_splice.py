"""Changing one thing in a YAML text: exactly that, or nothing."""

from __future__ import annotations

import copy
from typing import cast

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkeyctl.errors import UsageError
from valkeyctl.render.into.splice import Spliced

Tree = dict[str, object]
NEW = {"name": "ours", "text": "# one\n\ntwo\n", "list": [1, None, "3"], "empty": {}}

words = st.sampled_from(["a", "b c", "'quoted'", '"double"', "# no comment", "1", "~", "x: y", ""])
leaves = st.one_of(words, st.integers(0, 9), st.none(), st.booleans(), st.just("many\n\nlines\n"))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    ),
    max_leaves=6,
)
named = st.builds(lambda name, rest: {"name": name, "rest": rest}, st.sampled_from("pqr"), values)
documents = st.fixed_dictionaries(
    {"first": values, "spec": st.fixed_dictionaries({"list": st.lists(named), "last": values})}
)


def written(document: Tree, style: tuple[bool | None, int, bool], noise: str) -> str:
    """Return *document* as somebody might have written it, with comments between its lines."""
    flow, indent, explicit = style
    text: str = yaml.safe_dump(
        document, default_flow_style=flow, indent=indent, explicit_start=explicit, sort_keys=False
    )
    if flow is False and "|" not in text and "'" not in text:
        text = text.replace("\nspec:", f"\n{noise}\nspec:")
    return f"{noise}\n{text}{noise}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    documents,
    st.tuples(st.sampled_from([True, False, None]), st.sampled_from([2, 4]), st.booleans()),
    st.sampled_from(["", "# a comment", "\n\n", "  # indented\n"]),
)
def test_what_is_added_and_taken_out_again_leaves_the_rest(
    document: Tree, style: tuple[bool | None, int, bool], noise: str
) -> None:
    """Whatever the document and its layout."""
    text = written(document, style, noise)
    expected = copy.deepcopy(document)
    spec = cast("Tree", expected["spec"])
    cast("list[object]", spec["list"]).append(NEW)
    spliced = Spliced(text)

    spliced.put_item(0, ("spec", "list"), "ours", NEW)
    assert list(yaml.safe_load_all(spliced.text)) == [expected]
    with_ours = spliced.text
    spliced.put_item(0, ("spec", "list"), "ours", NEW)
    assert spliced.text == with_ours
    spliced.drop_item(0, ("spec", "list"), "ours")
    assert list(yaml.safe_load_all(spliced.text)) == [document]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents, st.sampled_from([True, False, None]), values)
def test_a_key_is_put_replaced_and_dropped(
    document: Tree, flow: bool | None, value: object
) -> None:
    """In a mapping of any layout."""
    text = written(document, (flow, 2, False), "")
    spliced = Spliced(text)

    spliced.put_key(0, ("spec",), "ours", value)
    spliced.put_key(0, ("spec",), "ours", "other")
    (found,) = yaml.safe_load_all(spliced.text)
    spliced.drop_key(0, ("spec",), "ours")

    assert found["spec"] == {**cast("Tree", document["spec"]), "ours": "other"}
    assert list(yaml.safe_load_all(spliced.text)) == [document]


def test_documents_are_added_replaced_and_dropped() -> None:
    """Each with its separator; comments between them stay."""
    spliced = Spliced("# top\na: 1\n# between\n--- # two\nb: 2")

    spliced.put_document(None, {"c": 3}, "# ours")
    assert spliced.text == "# top\na: 1\n# between\n--- # two\nb: 2\n---\n# ours\nc: 3\n"
    spliced.put_document(2, {"d": 4}, "# ours")
    assert spliced.text.endswith("b: 2\n---\n# ours\nd: 4\n")
    spliced.drop_document(2)
    assert spliced.text == "# top\na: 1\n# between\n--- # two\nb: 2\n"


@pytest.mark.parametrize("empty", ["", " ~", " []", " null"])
@pytest.mark.parametrize("comment", ["", "  # none yet"])
def test_a_comment_behind_an_empty_list_stays(empty: str, comment: str) -> None:
    """It is about the key."""
    spliced = Spliced(f"a:\n  list:{empty}{comment}\n  # below\n")

    spliced.put_item(0, ("a", "list"), "x", {"name": "x"})

    kept = comment and f" {comment.strip()}"
    assert spliced.text == f"a:\n  list:{kept}\n    - name: x\n  # below\n"


@pytest.mark.parametrize(
    "text",
    [
        "list:\n- - name: a\n- name: b\n",
        "? list\n: - name: a\n",
        "list: !!seq\n- name: a\n",
        "list: &anchor\n- name: a\n",
        "list: # why\n- name: a # a\n  # more\n",
        "list: [ {name: a}, ]\n",
        "list:\n- name: a\n...\n",
    ],
)
def test_odd_layouts_are_kept_or_refused(text: str) -> None:
    """Never is anything else changed."""
    (before,) = yaml.safe_load_all(text)
    spliced = Spliced(text)

    try:
        spliced.put_item(0, ("list",), "ours", NEW)
    except UsageError:
        assert spliced.text == text
        return

    assert list(yaml.safe_load_all(spliced.text)) == [{"list": [*before["list"], NEW]}]
