"""Secrets between programs: how one is sent and checked, and where a server may listen without one.

Knows no settings: a secret is handed in, None where there is none.
"""

import hmac
import ipaddress

from pydantic import SecretStr

SHORTEST = 12  # characters of a secret


def reveal(secret: SecretStr | None) -> str | None:
    """Take a secret out of its wrapping, which keeps it out of logs."""
    return secret.get_secret_value() if secret else None


def bearer(secret: SecretStr | None) -> dict[str, str]:
    """The header that `admits` asks for; none where there is no secret."""
    return {"Authorization": f"Bearer {secret.get_secret_value()}"} if secret else {}


def admits(secret: SecretStr | None, authorization: str) -> bool:
    """Whether a header `Bearer ...` holds the secret, or there is none; in a time that tells nothing of it."""
    scheme, _, sent = authorization.partition(" ")
    if not secret:
        return True
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), secret.get_secret_value().encode())


def exposure(host: str, secret: SecretStr | None, variable: str, *, guarded: bool) -> str | None:
    """Why not to listen on `host`: others could reach it, and nothing keeps them from running models. None if one may.

    Args:
        variable: the environment variable that sets the secret.
        guarded: whether something else keeps people out.
    """
    if secret or guarded or of_this_machine(host):
        return None
    return (
        f"Whoever reaches {host} could run models here. Set {variable} to a secret of {SHORTEST} characters or more, "
        "or NEURONYM_OPEN=1 if something else keeps people out."
    )


def of_this_machine(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
