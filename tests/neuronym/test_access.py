"""Secrets between programs: what lets a request in, and where nothing may listen without one."""

import pytest
from pydantic import SecretStr

from neuronym.access import admits, bearer, exposure_refusal, reveal

SECRET = SecretStr("a secret of some length")
NAME = "NEURONYM_TOKEN"


@pytest.mark.parametrize(
    "authorization, let_in",
    [
        ("Bearer a secret of some length", True),
        ("bearer   a secret of some length ", True),  # the scheme's case and the spaces around say nothing
        ("Bearer a secret of some lengt", False),
        ("Bearer A secret of some length", False),
        ("Basic a secret of some length", False),
        ("a secret of some length", False),
        ("Bearer", False),
        ("Bearer €", False),
        ("", False),
    ],
)
def test_only_the_secret_itself_lets_in(authorization: str, let_in: bool) -> None:
    assert admits(SECRET, authorization) is let_in
    assert admits(None, authorization)


def test_what_is_sent_is_what_lets_in() -> None:
    assert bearer(SECRET) == {"Authorization": "Bearer a secret of some length"}
    assert bearer(None) == {}
    assert reveal(SECRET) == "a secret of some length" and reveal(None) is None


@pytest.mark.parametrize(
    "host, open_door",
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],
)
def test_which_addresses_others_reach(host: str, open_door: bool) -> None:
    refusal = exposure_refusal(host, None, NAME, guarded=False)
    assert (refusal is not None) is open_door
    assert refusal is None or (host in refusal and f"Set {NAME} to a secret of 12 characters" in refusal)
    assert exposure_refusal(host, SECRET, NAME, guarded=False) is None
    assert exposure_refusal(host, None, NAME, guarded=True) is None
