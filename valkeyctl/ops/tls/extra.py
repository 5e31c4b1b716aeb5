"""The package that reads and signs certificates, which an installation may lack."""

from __future__ import annotations

import importlib.util

from valkeyctl.errors import MissingError


def require_cryptography() -> None:
    """Prove that certificates can be read and made here.

    Raises:
        MissingError: The package cryptography is not installed.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise MissingError(
            "certificates need the package cryptography, which is not installed",
            hint="Install it: pip install 'valkeyctl[encryption]'",
        )
