"""Protect against server-side request forgery: connections that refuse private addresses and end at a deadline.

The check is made at the socket, on the address that is connected to, below TLS and the name lookup: a name that
resolves differently the second time (DNS rebinding), an odd spelling of an address, or a redirect cannot evade it.
The deadline is enforced there too, so that it holds for headers as for bodies.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import logging
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from workspace.errors import TransferFailed

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_FALSELY_GLOBAL = (
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890: IETF protocol assignments; older Pythons know parts of it
    ipaddress.ip_network("3fff::/20"),  # RFC 9637: documentation
    ipaddress.ip_network("192.88.99.0/24"),  # RFC 7526: relays to 6to4, withdrawn
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's own services, which only its machines reach
)

_LEAST_CONNECT_S = 0.01  # a timeout of zero would mean "do not wait at all"

for _name in ("urllib3.connection", "urllib3.response"):
    # Odd headers are reported by the reason of the row, not by a traceback on the terminal.
    logging.getLogger(_name).setLevel(logging.ERROR)


class DeadlineExceeded(TimeoutError):
    """The whole response took too long, though no single read timed out."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to, and for how long a response may last.

    Attributes:
        allow_private: whether every address is allowed.
        private_hosts: hosts, as urls name them, that may have a private address.
        response_s: the longest time for one response, from the end of the request to the last byte, in seconds.
    """

    allow_private: bool
    private_hosts: Collection[str]
    response_s: float


def is_public(address: str) -> bool:
    """Return whether an IPv4 or IPv6 address (zone allowed) belongs to the public internet.

    An address that embeds an IPv4 address (mapped, 6to4, Teredo, NAT64) must embed a public one.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(embedded is not None and not is_public(str(embedded)) for embedded in inner):
            return False
        if ip.ipv4_mapped is not None or ip in _NAT64:
            return True  # the inner address was public, while the outer one is in a reserved block
        if ip.is_site_local:
            return False
    if any(ip in network for network in _FALSELY_GLOBAL):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class AddressPolicyAdapter(HTTPAdapter):
    """A requests adapter whose sockets obey an address policy.

    Args:
        policy: of every connection.
        connections: sockets kept open per host.
    """

    def __init__(self, policy: AddressPolicy, *, connections: int) -> None:
        self._policy = policy
        super().__init__(pool_connections=64, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools whose sockets obey the policy."""
        super().init_poolmanager(*args, **kwargs)
        held = {"policy": self._policy}
        plain = type("Connection", (_PolicyConnection, HTTPConnection), held)
        secure = type("SecureConnection", (_PolicyConnection, HTTPSConnection), held)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }


class _PolicyConnection(HTTPConnection):
    policy: ClassVar[AddressPolicy]

    def _new_conn(self) -> socket.socket:
        return _connect(self, self.policy)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        deadline = time.monotonic() + self.policy.response_s
        responses: list[_TimedResponse] = []

        def make_response(*args: Any, **kwargs: Any) -> _TimedResponse:
            responses.append(_TimedResponse(*args, deadline=deadline, **kwargs))
            return responses[0]

        self.response_class = make_response  # type: ignore[assignment]
        try:
            return super().getresponse()
        except BaseException:
            for response in responses:
                response.close()  # urllib3 drops it when a header is invalid, and its socket would stay open
            raise


class _TimedResponse(http.client.HTTPResponse):
    """A response that is read through _TimedReader, from the first byte of the headers on."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_TimedReader(raw, sock, deadline))


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining_s = self._deadline - time.monotonic()
        timeout_s = self._sock.gettimeout()
        if remaining_s > 0 and (timeout_s is None or remaining_s >= timeout_s):
            return self._raw.readinto(buffer)
        try:
            if remaining_s > 0:
                self._sock.settimeout(remaining_s)
                return self._raw.readinto(buffer)
        except TimeoutError:
            pass
        raise DeadlineExceeded("the time for the whole response is over")

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connect(connection: HTTPConnection, policy: AddressPolicy) -> socket.socket:
    host = connection._dns_host
    try:
        # Without the dot at the end of a fully qualified name: resolvers differ on `127.0.0.1.` and `localhost.`.
        entries = socket.getaddrinfo(host.removesuffix(".") or host, connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, error) from error  # type: ignore[arg-type]
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    if not policy.allow_private and host.strip("[]").lower() not in policy.private_hosts:
        for address in addresses:
            if not is_public(address):
                raise TransferFailed(
                    "refused",
                    "private_address",
                    f"{host} is {address}, which is not an address of the public internet; "
                    "name it in private_hosts in [network] only if it is a site that you run yourself",
                )
    return _connect_to_first(connection, addresses)


def _connect_to_first(connection: HTTPConnection, addresses: list[str]) -> socket.socket:
    """Connect to the first address that answers, within connect_timeout_s over all of them.

    Each has an equal share of the time that is left, so that a silent one leaves time for the others.
    """
    last: OSError | None = None
    timed_out: TimeoutError | None = None
    deadline = time.monotonic() + (connection.timeout or 0.0)
    for index, address in enumerate(addresses):
        share_s = connection.timeout
        if share_s is not None:
            share_s = max((deadline - time.monotonic()) / (len(addresses) - index), _LEAST_CONNECT_S)
        try:
            made = create_connection((address, connection.port), share_s, socket_options=connection.socket_options)
        except TimeoutError as error:
            timed_out = error
        except OSError as error:
            last = error
        else:
            made.settimeout(connection.timeout)  # the TLS handshake has the whole time, as with one address
            return made
    if timed_out is not None:
        raise timed_out  # urllib3 makes a ConnectTimeoutError of it
    raise NewConnectionError(connection, f"no connection to {connection._dns_host}: {last}") from last
