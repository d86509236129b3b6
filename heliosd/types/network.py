"""inet, cidr and macaddr. A network value is (version 4 or 6, address, prefix length)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import bad_length, invalid_syntax, wrong_length
from heliosd.types.registry import KeyKind, SqlType

forms: Final = Forms()

Network = tuple[int, int, int]

_BITS: Final = {4: 32, 6: 128}
# What the wire calls the families.
_FAMILY_CODES: Final = {4: 2, 6: 3}


def _mask(version: int, prefix: int) -> int:
    bits = _BITS[version]
    return ((1 << prefix) - 1) << (bits - prefix)


def _hosts(version: int, prefix: int) -> int:
    return (1 << (_BITS[version] - prefix)) - 1


def address_text(version: int, address: int) -> str:
    """Without a prefix length."""
    if version == 4:
        return str(ipaddress.IPv4Address(address))
    if 0 < address >> 32 == 0xFFFF:
        return f"::ffff:{ipaddress.IPv4Address(address & 0xFFFFFFFF)}"
    if 0x10000 <= address < 1 << 32:
        return f"::{ipaddress.IPv4Address(address)}"
    return str(ipaddress.IPv6Address(address))


def _parse_address(text: str) -> tuple[int, int]:
    if ":" in text:
        parsed = ipaddress.IPv6Address(text)
        return 6, int(parsed)
    parts = text.split(".")
    if len(parts) != 4 or any(not part.isdigit() or int(part) > 255 for part in parts):
        raise ValueError(text)
    return 4, int.from_bytes(bytes(int(part) for part in parts), "big")


def parse_network(text: str, type_name: str) -> Network:
    """address[/prefix]; a cidr may leave out trailing octets. 22P02."""
    host, slash, length = text.strip().partition("/")
    octets = host.count(".") + 1
    try:
        if "%" in host or (slash and (not length.isdigit() or len(length) > 3)):
            raise ValueError(text)
        if type_name == "cidr" and ":" not in host and octets < 4:
            host += ".0" * (4 - octets)
            version, address = _parse_address(host)
            prefix = int(length) if slash else max(octets * 8, _class_bits(address >> 24))
        else:
            version, address = _parse_address(host)
            prefix = int(length) if slash else _BITS[version]
        if prefix > _BITS[version]:
            raise ValueError(text)
    except ValueError:
        raise invalid_syntax(type_name, text) from None
    if type_name == "cidr" and address & _hosts(version, prefix):
        raise SqlError(
            "22P02",
            f'invalid cidr value: "{text}"',
            detail="Value has bits set to right of mask.",
        )
    return version, address, prefix


def _class_bits(first: int) -> int:
    if first >= 240:
        return 32
    if first >= 224:
        return 8
    return 24 if first >= 192 else 16 if first >= 128 else 8


def inet_out(value: Network) -> str:
    """The prefix length is shown unless it is the whole address."""
    version, address, prefix = value
    text = address_text(version, address)
    return text if prefix == _BITS[version] else f"{text}/{prefix}"


def cidr_out(value: Network) -> str:
    """Always with its prefix length."""
    return f"{address_text(value[0], value[1])}/{value[2]}"


@forms.helper
def network_key(value: Network) -> tuple[int, int, int, int]:
    """Order: by the network's bits, then its length, then the whole address."""
    version, address, prefix = value
    return version, address & _mask(version, prefix), prefix, address


def _pack(value: Network) -> bytes:
    version, address, prefix = value
    return bytes((version, prefix)) + address.to_bytes(_BITS[version] // 8, "big")


def _unpack(data: bytes) -> Network:
    return data[0], int.from_bytes(data[2:], "big"), data[1]


def _key_bytes(value: Network) -> bytes:
    version, network, prefix, address = network_key(value)
    size = _BITS[version] // 8
    return b"".join(
        (bytes((version,)), network.to_bytes(size, "big"), bytes((prefix,)),
         address.to_bytes(size, "big"))
    )  # fmt: skip


def _send(*, cidr: bool) -> Callable[[Network], bytes]:
    def send(value: Network) -> bytes:
        version, address, prefix = value
        size = _BITS[version] // 8
        head = bytes((_FAMILY_CODES[version], prefix, cidr, size))
        return head + address.to_bytes(size, "big")

    return send


def _receive(type_name: str) -> Callable[[bytes, int, EvalContext], Network]:
    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Network:
        if len(data) < 4:
            raise bad_length()
        if len(data) != 4 + data[3]:
            raise wrong_length(data, 4 + data[3])
        version = {2: 4, 3: 6}.get(data[0])
        if version is None:
            raise SqlError("22P03", f'invalid address family in external "{type_name}" value')
        if data[1] > _BITS[version]:
            raise SqlError("22P03", f'invalid bits in external "{type_name}" value')
        if data[3] != _BITS[version] // 8:
            raise SqlError("22P03", f'invalid length in external "{type_name}" value')
        value = version, int.from_bytes(data[4:], "big"), data[1]
        if type_name == "cidr" and value[1] & _hosts(version, data[1]):
            raise SqlError(
                "22P03",
                'invalid external "cidr" value',
                detail="Value has bits set to right of mask.",
            )
        return value

    return receive


def _network_type(name: str, output: Callable[[Network], str]) -> SqlType:
    def read(text: str, typmod: int, ctx: EvalContext) -> Network:
        return parse_network(text, name)

    return sql_type(
        name,
        input=read,
        output=context_free(output),
        plain_output=output,
        receive=_receive(name),
        plain_send=_send(cidr=name == "cidr"),
        pack=_pack,
        unpack=_unpack,
        key=KeyKind.BYTES,
        key_value=_key_bytes,
        native=False,
        sort_key=network_key,
    )


_MAC: Final = re.compile(
    r"\s*(?:([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):"
    r"([0-9a-f]{1,2})|([0-9a-f]{1,2})-([0-9a-f]{1,2})-([0-9a-f]{1,2})-([0-9a-f]{1,2})-"
    r"([0-9a-f]{1,2})-([0-9a-f]{1,2})|([0-9a-f]{6})[:-]([0-9a-f]{6})|"
    r"([0-9a-f]{4})[.-]([0-9a-f]{4})[.-]([0-9a-f]{4})|([0-9a-f]{12}))\s*",
    re.ASCII | re.IGNORECASE,
)


def _mac_in(text: str, typmod: int, ctx: EvalContext) -> bytes:
    match = _MAC.fullmatch(text)
    if match is None:
        raise invalid_syntax("macaddr", text)
    groups = [group for group in match.groups() if group is not None]
    width = 2 if len(groups) == 6 else 12 // len(groups)
    return bytes.fromhex("".join(group.rjust(width, "0") for group in groups))


def mac_out(value: bytes) -> str:
    """08:00:2b:01:02:03."""
    return value.hex(":")


def _mac_receive(data: bytes, typmod: int, ctx: EvalContext) -> bytes:
    if len(data) != 6:
        raise wrong_length(data, 6)
    return bytes(data)


types: Final = (
    _network_type("inet", inet_out),
    _network_type("cidr", cidr_out),
    sql_type(
        "macaddr",
        input=_mac_in,
        output=context_free(mac_out),
        plain_output=mac_out,
        receive=_mac_receive,
        plain_send=bytes,
        shape="b",
        key=KeyKind.BYTES,
    ),
)


# ------------------------------------------------------------ functions


def _within(inner: Network, outer: Network, *, proper: bool) -> bool:
    if inner[0] != outer[0]:
        return False
    enough = inner[2] > outer[2] if proper else inner[2] >= outer[2]
    mask = _mask(outer[0], outer[2])
    return enough and inner[1] & mask == outer[1] & mask


forms.function("network_sub(inet,inet)")(lambda a, b: _within(a, b, proper=True))
forms.function("network_subeq(inet,inet)")(lambda a, b: _within(a, b, proper=False))
forms.function("network_sup(inet,inet)")(lambda a, b: _within(b, a, proper=True))
forms.function("network_supeq(inet,inet)")(lambda a, b: _within(b, a, proper=False))
forms.function("network_overlap(inet,inet)")(
    lambda a, b: _within(a, b, proper=False) or _within(b, a, proper=False)
)


@forms.function("host(inet)")
def host(value: Network) -> str:
    """The address without its prefix length."""
    return address_text(value[0], value[1])


@forms.function("text(inet)")
def inet_text(value: Network) -> str:
    """The address with its prefix length."""
    return cidr_out(value)


@forms.function("abbrev(inet)")
def abbrev(value: Network) -> str:
    """As shown."""
    return inet_out(value)


@forms.function("abbrev(cidr)")
def abbrev_cidr(value: Network) -> str:
    """Without the octets that the prefix does not reach."""
    version, address, prefix = value
    if version == 6:
        return f"{address_text(version, address)}/{prefix}"
    octets = max(-(-prefix // 8), 1)
    parts = address_text(version, address).split(".")[:octets]
    return f"{'.'.join(parts)}/{prefix}"


@forms.function("masklen(inet)")
def masklen(value: Network) -> int:
    """The prefix length."""
    return value[2]


@forms.function("family(inet)")
def family(value: Network) -> int:
    """4 or 6."""
    return value[0]


@forms.function("broadcast(inet)")
def broadcast(value: Network) -> Network:
    """The network's last address."""
    version, address, prefix = value
    return version, address | _hosts(version, prefix), prefix


@forms.function("network(inet)", "cidr(inet)")
def network(value: Network) -> Network:
    """The network part."""
    version, address, prefix = value
    return version, address & _mask(version, prefix), prefix


@forms.function("netmask(inet)")
def netmask(value: Network) -> Network:
    """255.255.255.0."""
    return value[0], _mask(value[0], value[2]), _BITS[value[0]]


@forms.function("hostmask(inet)")
def hostmask(value: Network) -> Network:
    """0.0.0.255."""
    return value[0], _hosts(value[0], value[2]), _BITS[value[0]]


def _checked_length(value: Network, length: int) -> int:
    length = _BITS[value[0]] if length == -1 else length
    if not 0 <= length <= _BITS[value[0]]:
        raise SqlError("22023", f"invalid mask length: {length}")
    return length


@forms.function("set_masklen(inet,int4)")
def set_masklen(value: Network, length: int) -> Network:
    """Another prefix length; 22023."""
    return value[0], value[1], _checked_length(value, length)


@forms.function("set_masklen(cidr,int4)")
def set_masklen_cidr(value: Network, length: int) -> Network:
    """Another prefix length, the bits behind it cleared; 22023."""
    length = _checked_length(value, length)
    return value[0], value[1] & _mask(value[0], length), length


@forms.function("inet_same_family(inet,inet)")
def inet_same_family(left: Network, right: Network) -> bool:
    """Whether both are IPv4 or both IPv6."""
    return left[0] == right[0]


@forms.function("inet_merge(inet,inet)")
def inet_merge(left: Network, right: Network) -> Network:
    """The smallest network that holds both; 22023."""
    if left[0] != right[0]:
        raise SqlError("22023", "cannot merge addresses from different families")
    common = _BITS[left[0]] - (left[1] ^ right[1]).bit_length()
    prefix = min(left[2], right[2], common)
    return left[0], left[1] & _mask(left[0], prefix), prefix


def _same_size(left: Network, right: Network, word: str) -> None:
    if left[0] != right[0]:
        raise SqlError("22023", f"cannot {word} inet values of different sizes")


@forms.function("inetnot(inet)")
def inet_not(value: Network) -> Network:
    """Every bit turned over."""
    return value[0], value[1] ^ _hosts(value[0], 0), value[2]


@forms.function("inetand(inet,inet)")
def inet_and(left: Network, right: Network) -> Network:
    """22023 for different families."""
    _same_size(left, right, "AND")
    return left[0], left[1] & right[1], max(left[2], right[2])


@forms.function("inetor(inet,inet)")
def inet_or(left: Network, right: Network) -> Network:
    """22023 for different families."""
    _same_size(left, right, "OR")
    return left[0], left[1] | right[1], max(left[2], right[2])


@forms.function("inetpl(inet,int8)")
def inet_plus(value: Network, count: int) -> Network:
    """An address further on; 22003."""
    address = value[1] + count
    if not 0 <= address <= _hosts(value[0], 0):
        raise SqlError("22003", "result is out of range")
    return value[0], address, value[2]


@forms.function("int8pl_inet(int8,inet)")
def plus_inet(count: int, value: Network) -> Network:
    """The same the other way round."""
    return inet_plus(value, count)


@forms.function("inetmi_int8(inet,int8)")
def inet_minus(value: Network, count: int) -> Network:
    """An address further back; 22003."""
    return inet_plus(value, -count)


@forms.function("inetmi(inet,inet)")
def inet_difference(left: Network, right: Network) -> int:
    """Addresses between; 22023, 22003."""
    _same_size(left, right, "subtract")
    gap = left[1] - right[1]
    if not -(2**63) <= gap < 2**63:
        raise SqlError("22003", "result is out of range")
    return gap


@forms.function("trunc(macaddr)")
def mac_trunc(value: bytes) -> bytes:
    """The manufacturer's half."""
    return value[:3] + b"\0\0\0"


forms.comparisons(
    "inet", "inet", "network_eq network_ne network_lt network_gt network_le network_ge",
    "network_key({0}) {op} network_key({1})",
)  # fmt: skip
forms.comparisons(
    "macaddr", "macaddr", "macaddr_eq macaddr_ne macaddr_lt macaddr_gt macaddr_le macaddr_ge"
)
