"""The cached value as a pydantic model, for the row with types."""

from __future__ import annotations

from pydantic import BaseModel


class Usage(BaseModel):
    """Tokens of one answer."""

    input: int
    output: int


class TypedAnswer(BaseModel):
    """As `contents.Answer`, field by field."""

    id: int
    model: str
    usage: Usage
    text: str


def plain(answer: object) -> object:
    """Return a model as the value that it was made of, and anything else as it is."""
    return answer.model_dump() if isinstance(answer, TypedAnswer) else answer
