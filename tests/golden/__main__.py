"""Render every golden file anew."""

from __future__ import annotations

from tests.golden import expected

for path, text in expected().items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
