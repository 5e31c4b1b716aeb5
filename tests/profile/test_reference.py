"""The page about the profile is what the schema says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from valkeyctl.profile import Profile
from valkeyctl.profile.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "profile.md"


def test_the_page_is_current() -> None:
    """`python -m valkeyctl.profile.reference > docs/reference/profile.md` renews it."""
    assert PAGE.read_text() == reference()


@pytest.mark.parametrize("name", sorted(Profile.model_fields))
def test_every_field_has_its_line(name: str) -> None:
    """Each field says which values it takes and what it becomes."""
    field = Profile.model_fields[name]
    default = field.get_default(call_default_factory=True)
    inner = type(default).model_fields if isinstance(default, BaseModel) else {}

    page = reference()

    assert all(f"| `{key}`" in page for key in inner)
    assert f"## {name}" in page or f"| `{name}`" in page
    assert field.description or inner
