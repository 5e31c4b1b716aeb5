"""What an application is told about its cache: by environment, or by argument."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, UsageError


class CacheSettings(BaseSettings):
    """Where the cache is and how patient the application is with it.

    Each field is read from the environment variable ``CACHE_`` and its name, such as
    ``CACHE_URL``, unless it is given. No secret is in its ``repr`` or in its errors.

    Raises:
        UsageError: A value that cannot be meant; names the variable.
    """

    model_config = SettingsConfigDict(
        env_prefix="CACHE_",
        frozen=True,
        extra="ignore",
        # The sentence for a wrong value would otherwise quote it, and one of them is a URL
        # with a password.
        hide_input_in_errors=True,
    )

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Server of the cache; rediss:// for TLS. May hold a password.",
    )
    password_file: Path | None = Field(
        None, description="File whose first line is the password, as orchestrators mount secrets."
    )
    ca_file: Path | None = Field(
        None, description="CA bundle to trust with TLS; none trusts the system's."
    )
    cert_file: Path | None = Field(
        None, description="Certificate to show to a server that asks for one, with TLS."
    )
    key_file: Path | None = Field(None, description="Its private key.")
    app: str = Field("default", description="First part of every key.")
    budget: float = Field(0.025, gt=0, le=60, description="Seconds a cache read may take.")
    deadline: float = Field(1.0, gt=0, le=600, description="Seconds any other call may take.")
    connect_timeout: float = Field(
        1.0, gt=0, le=60, description="Seconds that making one connection may take."
    )
    pool_size: int = Field(64, ge=1, le=10_000, description="Connections at most.")
    max_value_bytes: int = Field(
        8 * 2**20, ge=1, le=512 * 2**20, description="Larger values are not stored."
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_sentence(cls, data: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(data)
        except ValidationError as error:
            first, *others = error.errors(include_url=False, include_input=False)
            name = ".".join(str(part) for part in first["loc"])
            what = str(first["msg"])
            more = f" (and {len(others)} more)" if others else ""
            prefix = cls.model_config.get("env_prefix", "")
            raise UsageError(
                f"{prefix}{name.upper()} cannot be used: {what[:1].lower()}{what[1:]}{more}",
                hint=f"Set the environment variable, or give {cls.__name__}({name}=...)",
            ) from error

    def endpoint(self) -> Endpoint:
        """Return where the cache is, with the password from its file.

        Raises:
            UsageError: The URL is none of ours, there are two passwords, or an empty one.
            FolderError: The password file cannot be read.
        """
        endpoint = Endpoint.parse(self.url)
        endpoint = replace(
            endpoint, ca_file=self.ca_file, cert_file=self.cert_file, key_file=self.key_file
        )
        if self.password_file is None:
            return endpoint
        if endpoint.password is not None:
            raise UsageError(
                "CACHE_URL holds a password, and CACHE_PASSWORD_FILE names another",
                hint="Leave the password out of the URL",
            )
        return endpoint.with_password(_first_line(self.password_file))


def _first_line(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"the password file {file} cannot be read: {error.strerror or error}",
            hint="Check CACHE_PASSWORD_FILE and who may read the file",
        ) from error
    except UnicodeDecodeError as error:
        raise FolderError(f"the password file {file} is no UTF-8 text") from error
    password = text.partition("\n")[0].rstrip("\r")
    if not password:
        raise UsageError(
            f"the password file {file} has an empty first line",
            hint="Write the password on the first line of the file",
        )
    return password
