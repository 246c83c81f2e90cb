"""Secrets between programs: how one is sent and checked, and where a server may listen without one.

Functions are passed the secret, None where there is none; they read no settings.
"""

import hmac
import ipaddress

from pydantic import SecretStr

SHORTEST = 12  # characters a secret must have


def reveal(secret: SecretStr | None) -> str | None:
    """Take a secret out of its wrapping, which keeps it out of logs."""
    return secret.get_secret_value() if secret else None


def bearer(secret: SecretStr | None) -> dict[str, str]:
    """The header that sends the secret, as `admits` reads it; no header where there is no secret."""
    return {"Authorization": f"Bearer {secret.get_secret_value()}"} if secret else {}


def admits(secret: SecretStr | None, authorization: str) -> bool:
    """Return whether the header `Authorization: Bearer ...` holds the secret, or there is no secret.

    The comparison takes the same time whatever is sent.
    """
    scheme, _, sent = authorization.partition(" ")
    if not secret:
        return True
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), secret.get_secret_value().encode())


def exposure_refusal(host: str, secret: SecretStr | None, variable: str, *, guarded: bool) -> str | None:
    """The refusal to listen on `host` where others could reach it and run models; None where listening is safe.

    Args:
        variable: the environment variable that sets the secret.
        guarded: whether something else keeps others out.
    """
    if secret or guarded or is_loopback(host):
        return None
    return (
        f"Whoever reaches {host} could run models here. Set {variable} to a secret of {SHORTEST} characters or more, "
        "or NEURONYM_OPEN=1 if something else keeps people out."
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
