"""Connections that refuse private addresses, by the address that is actually connected to.

The check sits below TLS and below the name lookup, at the socket: a name that answers differently the second time
(DNS rebinding), an odd spelling of an address, or a redirect cannot get around it.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from workspace.errors import TransferFailed

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def is_public(address: str) -> bool:
    """Whether an address text (IPv4 or IPv6, zone allowed) is one of the public internet.

    Addresses that carry an IPv4 one inside (mapped, 6to4, Teredo, NAT64) are judged by that one too.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(found is not None and not is_public(str(found)) for found in inner):
            return False
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return True  # the inner address was public, while the outer one is in a reserved block
    return ip.is_global and not ip.is_multicast


class GuardedAdapter(HTTPAdapter):
    """A requests adapter whose sockets go to public addresses only, unless `allow_private`.

    Args:
        allow_private: connect to any address.
        connections: sockets kept open per host.
    """

    def __init__(self, *, allow_private: bool, connections: int) -> None:
        self._allow_private = allow_private
        super().__init__(pool_connections=64, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools that open guarded sockets."""
        super().init_poolmanager(*args, **kwargs)
        if not self._allow_private:
            self.poolmanager.pool_classes_by_scheme = {"http": _GuardedHTTPPool, "https": _GuardedHTTPSPool}


class _GuardedHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _GuardedHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _GuardedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _GuardedHTTPConnection


class _GuardedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPSConnection


def _connect(connection: HTTPConnection) -> socket.socket:
    host = connection._dns_host
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_public(address):
            raise TransferFailed(
                "refused",
                "private_address",
                f"{host} is {address}, which is not an address of the public internet; "
                "set allow_private_addresses = true in [network] only for a site that you run yourself",
            )
    return _first_that_answers(connection, addresses)


def _first_that_answers(connection: HTTPConnection, addresses: list[str]) -> socket.socket:
    last: OSError | None = None
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port), connection.timeout, socket_options=connection.socket_options
            )
        except TimeoutError:
            raise  # urllib3 names it a connect timeout
        except OSError as error:
            last = error
    raise NewConnectionError(connection, f"no connection to {connection._dns_host}: {last}") from last
