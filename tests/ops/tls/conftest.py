"""A profile that speaks TLS, and a state folder of a test's own."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.pair import tls_files
from valkeyctl.profile import Profile
from valkeyctl.runtime.material import Material


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """A state folder that nobody else uses."""
    return StateFolder(tmp_path / "state")


@pytest.fixture
def profile() -> Profile:
    """A small profile that turns TLS on."""
    return unique_profile(tls=True)


def secrets_of(profile: Profile, state: StateFolder) -> Material:
    """Return the certificates as a unit reads them."""
    return Material(dict(tls_files(profile, state)))


def shown_by(endpoint: Endpoint) -> str:
    """Return the fingerprint of the certificate that a new connection is shown."""
    pem = ssl.get_server_certificate((endpoint.host, endpoint.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
