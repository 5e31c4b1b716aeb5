"""How rendered files differ from those in a folder."""

from __future__ import annotations

from valkeyctl.profile import Profile
from valkeyctl.render import render
from valkeyctl.render.difference import differences


def test_an_unchanged_folder_has_no_difference() -> None:
    """`render --check` is silent about what is as it should be."""
    files = render(Profile(name="x")).files

    assert differences(files, {**files, "README": "not ours"}) == []


def test_a_changed_line_is_shown_from_old_to_new() -> None:
    """The diff is what a render would change."""
    found = differences({"a": "one\ntwo\n"}, {"a": "one\n2\n"})

    assert [(change.file, change.status) for change in found] == [("a", "changed")]
    assert found[0].diff == "--- a\n+++ a (rendered)\n@@ -1,2 +1,2 @@\n one\n-2\n+two\n"


def test_a_missing_file_is_all_new() -> None:
    """A file that is not there is a difference too, given as None or not at all."""
    found = differences({"b": "two\n", "a": "one\n"}, {"a": None})

    assert [(change.file, change.status) for change in found] == [
        ("a", "missing"),
        ("b", "missing"),
    ]
    assert found[0].diff == "--- /dev/null\n+++ a (rendered)\n@@ -0,0 +1 @@\n+one\n"


def test_a_missing_newline_at_the_end_is_seen() -> None:
    """Each line of the diff ends, whatever the files do."""
    found = differences({"a": "one\n"}, {"a": "one"})

    assert found[0].diff.splitlines()[-3:] == ["-one", "\\ No newline at end of file", "+one"]


def test_other_line_ends_are_seen() -> None:
    """A file saved with carriage returns is another file."""
    found = differences({"a": "one\n"}, {"a": "one\r\n"})

    assert "-one\r\n+one\n" in found[0].diff
