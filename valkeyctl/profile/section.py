"""What all sections of a profile have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A part of a profile: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic would take true for 1.
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind in {int, float}:
            raise ValueError(f"{str(value).lower()} is not a number")
        return value
