"""What is proven of certificates before a deploy: each fault in one sentence."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.ops.conftest import changed
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    FolderError,
    MissingError,
    ProfileError,
    TlsError,
    ValkeyctlError,
)
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.check import check_tls
from valkeyctl.ops.tls.hosts import hosts_of
from valkeyctl.ops.tls.issue import init
from valkeyctl.ops.tls.pair import key_pair, own_folder, tls_files, with_certificates
from valkeyctl.ops.tls.show import show
from valkeyctl.profile import Profile, load


@pytest.fixture
def made(profile: Profile, state: StateFolder) -> Path:
    """The folder with the certificates of the profile."""
    folder = own_folder(state, profile.name)
    init(profile.name, folder, hosts_of(profile))
    return folder


def refused(profile: Profile, state: StateFolder, now: datetime | None = None) -> ValkeyctlError:
    """Return why the certificates will not do."""
    with pytest.raises(ValkeyctlError) as told:
        check_tls(profile, state, now=now)
    assert "\n" not in str(told.value)
    assert told.value.hint or isinstance(told.value, (FolderError, ProfileError))
    return told.value


def test_good_certificates(profile: Profile, state: StateFolder, made: Path) -> None:
    """One line says for whom they are and how long they hold."""
    lines, warnings = check_tls(profile, state)

    assert re.fullmatch(r"TLS: certificate of .*127\.0\.0\.1.*, 39[67] days left", lines[0])
    assert warnings == []
    assert set(tls_files(profile, state)) == {"ca.crt", "server.crt", "server.key"}


def test_without_tls_there_is_nothing_to_check(profile: Profile, state: StateFolder) -> None:
    """No file is looked for."""
    plain = changed(profile, tls=False)

    assert check_tls(plain, state) == ([], [])
    assert tls_files(plain, state) == {}


def test_missing_ones(profile: Profile, state: StateFolder) -> None:
    """The command that makes them is named."""
    error = refused(profile, state)

    assert isinstance(error, MissingError)
    assert "is not there" in str(error)
    assert error.hint == "Make it: valkeyctl tls init"


@pytest.mark.parametrize("file", ["ca.crt", "server.crt", "server.key"])
def test_a_file_that_is_no_pem(profile: Profile, state: StateFolder, made: Path, file: str) -> None:
    """It is named, whichever of the three it is."""
    (made / file).write_bytes(b"\x30\x82\x01")

    error = refused(profile, state)

    assert isinstance(error, TlsError)
    assert str(made / file) in str(error)
    assert "in PEM form" in str(error)


def test_a_key_of_another_certificate(profile: Profile, state: StateFolder, made: Path) -> None:
    """A pair that does not belong together would end the server."""
    (made / "server.key").write_bytes((made / "client.key").read_bytes())

    assert "does not belong to the certificate" in str(refused(profile, state))


def test_a_key_with_a_passphrase(profile: Profile, state: StateFolder, made: Path) -> None:
    """Nobody is asked for it, and the server could not be."""
    key = load_pem_private_key((made / "server.key").read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (made / "server.key").write_bytes(locked)

    assert "locked with a passphrase" in str(refused(profile, state))


def test_times(profile: Profile, state: StateFolder, made: Path) -> None:
    """Expired, not yet valid, and near its end: two refusals and a warning."""
    now = datetime.now(UTC)

    assert "expired on" in str(refused(profile, state, now + timedelta(days=398)))
    assert "is not valid before" in str(refused(profile, state, now - timedelta(hours=1)))
    _, warnings = check_tls(profile, state, now=now + timedelta(days=368))
    assert len(warnings) == 1
    assert "expires in 29 days" in warnings[0]


def test_another_ca(profile: Profile, state: StateFolder, made: Path, tmp_path: Path) -> None:
    """A CA of the same name that did not sign it is not taken for the one that did."""
    init(profile.name, tmp_path / "other", ("127.0.0.1",))
    (made / "ca.crt").write_bytes((tmp_path / "other" / "ca.crt").read_bytes())

    assert "is not accepted by the CA" in str(refused(profile, state))


def test_a_host_that_it_does_not_name(profile: Profile, state: StateFolder, made: Path) -> None:
    """Where the server is published, and where its units are, must stand in it."""
    moved = changed(profile, publish="192.0.2.7:6379", auth=True, tls=True)

    error = refused(moved, state)
    assert "and not 192.0.2.7, where the server is published" in str(error)
    with pytest.raises(TlsError, match=r"and not 10\.130\.1\.2"):
        check_tls(profile, state, addresses=("10.130.1.2",))


def test_a_certificate_of_this_machine_for_all_addresses(
    profile: Profile, state: StateFolder, made: Path
) -> None:
    """Nobody else could verify it: a warning, for a tunnel could lead here."""
    init(profile.name, made, ("127.0.0.1", "localhost"), replace=True)
    everywhere = changed(profile, publish="0.0.0.0:6379", auth=True, tls=True)

    _, warnings = check_tls(everywhere, state)

    assert "names this machine only" in warnings[0]


def test_a_key_that_others_can_read(profile: Profile, state: StateFolder, made: Path) -> None:
    """A warning with the command that closes it."""
    (made / "server.key").chmod(0o644)

    _, warnings = check_tls(profile, state)

    assert warnings == [
        f"the key {made / 'server.key'} can be read by other users: chmod 600 {made / 'server.key'}"
    ]


def test_files_of_the_operators_own(state: StateFolder, tmp_path: Path) -> None:
    """Relative to the profile that names them; each wrong field with its line."""
    init("own", tmp_path / "pki", ("127.0.0.1",))
    file = tmp_path / "own.yaml"
    text = (
        "name: own\ntls:\n  enabled: true\n  auth_clients: yes\n"
        "  ca_file: pki/ca.crt\n  cert_file: pki/server.crt\n"
    ).replace("yes\n", '"yes"\n')
    file.write_text(f"{text}  key_file: pki/server.key\n")

    own = load(file)

    pair = key_pair(own, state)
    assert (pair.given, pair.ca) == (True, tmp_path / "pki" / "ca.crt")
    assert check_tls(own, state)[0]
    reached = with_certificates(Endpoint(), own, state)
    assert (reached.tls, reached.cert_file) == (True, tmp_path / "pki" / "server.crt")
    file.write_text(text)
    error = refused(load(file), state)
    assert isinstance(error, ProfileError)
    assert "tls.key_file: a CA, a certificate and its key belong together" in str(error)


def foreign(folder: Path, hosts: tuple[str, ...], *usages: x509.ObjectIdentifier) -> None:
    """Write what another CA issues: RSA keys, and an intermediate between CA and server."""
    folder.mkdir()
    now = datetime.now(UTC)
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("r", "i", "s")]
    made = []
    for number, signer in enumerate((0, 0, 1)):
        ca = number < 2
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[signer])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca and hosts:
            found = [
                x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
                for host in hosts
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
        if not ca and usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        made.append(builder.sign(keys[signer], hashes.SHA256()).public_bytes(Encoding.PEM))
    (folder / "ca.crt").write_bytes(made[0])
    (folder / "server.crt").write_bytes(made[2] + made[1])
    text = keys[2].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.key").write_bytes(text)
    (folder / "server.key").chmod(0o600)


def given(tmp_path: Path, **fields: object) -> Profile:
    """Return a profile that names the files in ``pki``."""
    names = {"ca_file": "ca.crt", "cert_file": "server.crt", "key_file": "server.key"}
    files = {key: str(tmp_path / "pki" / name) for key, name in names.items()}
    return unique_profile(tls={"enabled": True, **files, **fields})


def test_a_chain_of_rsa_certificates(state: StateFolder, tmp_path: Path) -> None:
    """As companies issue them; without the one between them nobody would accept it."""
    foreign(tmp_path / "pki", ("*.example.org", "127.0.0.1"))
    profile = given(tmp_path)

    assert check_tls(profile, state)[1] == []
    assert show(profile, state).chain == ("CN=s", "CN=i", "CN=r")
    leaf = (tmp_path / "pki" / "server.crt").read_text().partition("-----END CERTIFICATE-----")
    (tmp_path / "pki" / "server.crt").write_text(leaf[0] + leaf[1] + "\n")
    assert "is not accepted by the CA" in str(refused(profile, state))


@pytest.mark.parametrize("hosts", [(), ("*.example.org",)])
def test_no_name_that_clients_could_check(
    state: StateFolder, tmp_path: Path, hosts: tuple[str, ...]
) -> None:
    """A common name is none, and a wildcard stands for no address."""
    foreign(tmp_path / "pki", hosts)

    assert "and not 127.0.0.1, where the server is published" in str(
        refused(given(tmp_path), state)
    )


def test_a_certificate_for_servers_alone(state: StateFolder, tmp_path: Path) -> None:
    """It does where nobody shows it to a server; the probe of one that insists would."""
    foreign(tmp_path / "pki", ("127.0.0.1",), ExtendedKeyUsageOID.SERVER_AUTH)

    assert check_tls(given(tmp_path), state)[0]
    error = refused(given(tmp_path, auth_clients="yes"), state)
    assert "cannot be shown as a client's" in str(error)
    assert "clientAuth" in str(error.hint)


def test_a_file_that_cannot_be_read(profile: Profile, state: StateFolder, made: Path) -> None:
    """A folder in the place of a file is no certificate."""
    (made / "server.key").unlink()
    (made / "server.key").mkdir()

    assert isinstance(refused(profile, state), FolderError)


def test_a_report_is_given_of_bad_certificates_too(
    profile: Profile, state: StateFolder, made: Path
) -> None:
    """What they say, and what is wrong, for whoever must repair it."""
    good = show(profile, state)
    late = show(profile, state, now=datetime.now(UTC) + timedelta(days=398))
    soon = show(profile, state, now=datetime.now(UTC) + timedelta(days=370))

    assert (good.good, good.problem, good.chain[-1]) == (True, "", f"CN={profile.name} CA")
    assert re.fullmatch("[0-9a-f]{64}", good.fingerprint)
    assert (late.good, soon.good) == (False, False)
    assert "expired on" in late.problem
    assert late.days_left < 0 < soon.days_left < 30
