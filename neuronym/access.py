"""Secrets between programs, and which addresses are of this machine alone."""

import ipaddress

SHORTEST = 12  # characters of a secret


def of_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
