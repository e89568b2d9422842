"""Addresses: which machines this server may be sent to by strangers. Public ones, and those that the operator names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
CLOUDS = (  # public by their numbers, but machines in clouds hear their own hosts there
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments, which Oracle's clouds use
)
NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
PLAIN_PORTS = frozenset({80, 443})
LOWEST_FREE_PORT = 1024  # below it live mail, files and remote shells, which can be made to understand HTTP


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """What the operator lets strangers' addresses reach although it is not public: names, addresses, networks; `host:port` for one port."""

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> PrivateHosts:
        """From words as `n8n.internal`, `n8n.internal:5678`, `10.0.0.5`, `10.1.0.0/16`, `[fd00::5]:80`. Raises ValueError."""
        names: set[tuple[str, int | None]] = set()
        networks: list[tuple[Network, int | None]] = []
        for entry in entries:
            host, port = _host_and_port(entry.strip().lower())
            network = _network(host)
            if network is not None:
                networks.append((network, port))
            elif "/" in host or not host or any(character.isspace() for character in host):
                raise ValueError(f"'{entry}' is neither a host's name, nor an address, nor a network")
            else:
                names.add((host.rstrip("."), port))
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str, port: int) -> bool:
        """Whether the operator named this host."""
        return not self.names.isdisjoint({(host.lower().rstrip("."), None), (host.lower().rstrip("."), port)})

    def has_address(self, address: Address, port: int) -> bool:
        """Whether the operator named this address, or a network around it."""
        return any(
            address.version == network.version and address in network and allowed in (None, port) for network, allowed in self.networks
        )

    def permits(self, host: str, addresses: Sequence[Address], port: int) -> bool:
        """Whether a host may be called: every address that its name has must be permitted, not only the one that is called."""
        if self.has_name(host, port):
            return bool(addresses)
        if not addresses:
            return False
        if all(self.has_address(address, port) for address in addresses):
            return True
        is_plain = port in PLAIN_PORTS or port >= LOWEST_FREE_PORT
        return is_plain and all(is_public(address) or self.has_address(address, port) for address in addresses)


def is_public(address: Address) -> bool:
    """Whether an address, and every IPv4 address that is wrapped in it, belongs to the open internet."""
    if any(address in network for network in CLOUDS) or address.is_multicast or not address.is_global:
        return False
    return all(is_public(inner) for inner in _wrapped(address))


def address_of(text: str) -> Address | None:
    """The address that a text is, without an interface's name; None for anything else."""
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _wrapped(address: Address) -> list[Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in NAT64):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) >> 32 == 0:  # ::a.b.c.d, the form of old
        found.append(ipaddress.IPv4Address(int(address)))
    return [inner for inner in found if inner is not None]


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _host_and_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, port = entry.partition("]:")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    else:
        return entry, None
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"'{port}' is not a port")
    return host.strip("[]"), int(port) if port else None
