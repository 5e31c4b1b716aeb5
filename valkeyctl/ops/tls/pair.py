"""Which three files a deployment speaks TLS with: the profile's, or the ones of `tls init`."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, MissingError, ProfileError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render.tls import CA_FILE as CA_CERTIFICATE
from valkeyctl.render.tls import CERTIFICATE_FILE as SERVER_CERTIFICATE
from valkeyctl.render.tls import KEY_FILE as SERVER_KEY
from valkeyctl.render.tls import TLS_FILES

CA_KEY = "ca.key"
CLIENT_CERTIFICATE, CLIENT_KEY = "client.crt", "client.key"
# Larger than any chain of certificates, and small enough to be read whole.
_LARGEST = 256 * 1024
_MAKE = "valkeyctl tls init"
_FIELDS = ("ca_file", "cert_file", "key_file")


@dataclass(frozen=True)
class KeyPair:
    """A certificate, its key, and the CA that signed it.

    Attributes:
        ca: File of the CA's certificate.
        certificate: File of the server's certificate, and of those between it and the CA.
        key: File of the server's private key.
        given: Whether the profile names them; else `tls init` made them.
        make: The command that makes or renews them; empty when they are given.
    """

    ca: Path
    certificate: Path
    key: Path
    given: bool = False
    make: str = ""


def key_pair(profile: Profile, state: StateFolder) -> KeyPair:
    """Return where the files of *profile* are; a relative path counts from the profile's file.

    Raises:
        ProfileError: It names some of the three files, and not all.
    """
    named = {field: getattr(profile.tls, field) for field in _FIELDS}
    missing = [field for field, path in named.items() if path is None]
    if len(missing) == len(_FIELDS):
        folder = own_folder(state, profile.name)
        return KeyPair(
            folder / CA_CERTIFICATE, folder / SERVER_CERTIFICATE, folder / SERVER_KEY, make=_MAKE
        )
    if missing:
        text = "a CA, a certificate and its key belong together; name all three files, or none"
        raise ProfileError(tuple(profile.problem(f"tls.{field}", text) for field in missing))
    found = {
        field: Path(profile.problem(f"tls.{field}", "").file).parent / path.expanduser()
        for field, path in named.items()
    }
    return KeyPair(found["ca_file"], found["cert_file"], found["key_file"], given=True)


def own_folder(state: StateFolder, name: str) -> Path:
    """Return where `tls init` keeps the certificates of the deployment *name*."""
    return state.secrets(name) / "tls"


def tls_files(profile: Profile, state: StateFolder) -> Mapping[str, bytes]:
    """Return what the server reads: ``ca.crt``, ``server.crt`` and ``server.key``.

    Empty without TLS. Not checked; see `check_tls`.

    Raises:
        ProfileError: The profile names some of the three files, and not all.
        MissingError: A file is not there.
        FolderError: A file cannot be read.
    """
    if not profile.tls.enabled:
        return {}
    pair = key_pair(profile, state)
    return {
        CA_CERTIFICATE: read_pem(pair.ca, "CA certificate", pair.make),
        SERVER_CERTIFICATE: read_pem(pair.certificate, "certificate", pair.make),
        SERVER_KEY: read_pem(pair.key, "key", pair.make),
    }


def kept_tls_files(name: str, state: StateFolder) -> Mapping[str, bytes]:
    """Return the same of a deployment whose profile is not at hand, where `tls init` made them.

    Raises:
        MissingError: It did not: the profile names them.
        FolderError: A file cannot be read.
    """
    folder = own_folder(state, name)
    if not (folder / SERVER_KEY).exists():
        raise MissingError(
            f"the certificates of {name} are named by its profile",
            hint=f"Deploy it: valkeyctl deploy -p {name}",
        )
    return {file: read_pem(folder / file, "file", _MAKE) for file in TLS_FILES}


def with_certificates(endpoint: Endpoint, profile: Profile, state: StateFolder) -> Endpoint:
    """Return *endpoint* as our own commands reach it: with the CA, and a certificate to show.

    The certificate is the client's that `tls init` has made. With files of the
    operator's it is the server's own, and only where the server insists on one.

    Raises:
        ProfileError: The profile names some of the three files, and not all.
    """
    if not profile.tls.enabled:
        return endpoint
    pair = key_pair(profile, state)
    if not pair.given:
        return with_kept_certificates(endpoint, profile.name, state)
    shown = profile.tls.auth_clients == "yes"
    return replace(
        endpoint,
        tls=True,
        ca_file=pair.ca,
        cert_file=pair.certificate if shown else None,
        key_file=pair.key if shown else None,
    )


def with_kept_certificates(endpoint: Endpoint, name: str, state: StateFolder) -> Endpoint:
    """Return the same for a deployment whose profile is not at hand, by those of `tls init`.

    A CA that is missing is told by name when the connection is made.
    """
    folder = own_folder(state, name)
    client = (folder / CLIENT_CERTIFICATE, folder / CLIENT_KEY)
    shown = all(file.exists() for file in client)
    return replace(
        endpoint,
        tls=True,
        ca_file=folder / CA_CERTIFICATE,
        cert_file=client[0] if shown else None,
        key_file=client[1] if shown else None,
    )


def read_pem(file: Path, what: str, make: str = "") -> bytes:
    """Return the contents of *file*.

    Args:
        file: What to read.
        what: Its part in one or two words, for the message.
        make: The command that makes it; empty when the operator does.

    Raises:
        MissingError: It is not there.
        FolderError: It cannot be read, or is no such file at all.
    """
    try:
        with file.open("rb") as source:
            text = source.read(_LARGEST + 1)
    except FileNotFoundError as error:
        hint = f"Make it: {make}" if make else "Correct its path in the profile's tls section"
        raise MissingError(f"the {what} {file} is not there", hint=hint) from error
    except OSError as error:
        raise FolderError(f"the {what} {file} cannot be read: {error.strerror or error}") from error
    if len(text) > _LARGEST:
        raise FolderError(f"the {what} {file} is larger than {_LARGEST // 1024} KiB")
    return text


def readable_by_others(file: Path) -> bool:
    """Say whether users besides its owner may read *file*; False when it cannot be told."""
    try:
        return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False
