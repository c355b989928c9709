#!/usr/bin/env python3
"""A scripted DNS server for one test: it reads its zone from standard input, serves port 53 of
127.0.0.1 over UDP and TCP, and prints "ready" and then a line for each query: "query udp AAAA good.test".

A line of the zone is a name, a query type (A, AAAA or * for both) and what happens to such a query:

    good.test    A     answer 192.0.2.1 192.0.2.2
    slow.test    AAAA  delay 2000 answer 2001:db8::1
    big.test     A     truncate answer 127.0.0.1 127.0.0.2
    forged.test  A     forge answer 127.0.0.1
    alias.test   *     cname good.test
    gone.test    *     nxdomain

Actions:   answer ADDRESS...   cname NAME   nodata   nxdomain   servfail   refused   silent
           garbage   short   badlength
Modifiers: delay MS, truncate (over UDP: come back over TCP), forge (first a reply with a wrong id).
Names that the zone does not have do not exist; a name without the asked type has no data.
"""

import ipaddress
import socket
import struct
import sys
import threading

TYPES = {1: "A", 5: "CNAME", 28: "AAAA"}
CODES = {"servfail": 2, "nxdomain": 3, "refused": 5}
FORGED = "203.0.113.66"


class Rule:
    """What happens to a query: modifiers, and then an action with its arguments."""

    def __init__(self, words):
        self.delay, self.truncate, self.forge = 0.0, False, False
        while words[0] in ("delay", "truncate", "forge"):
            modifier = words.pop(0)
            if modifier == "delay":
                self.delay = int(words.pop(0)) / 1000
            else:
                setattr(self, modifier, True)
        self.action, self.arguments = words[0], words[1:]


def parse_zone(text):
    zone = {}
    for line in text.splitlines():
        name, types, *words = line.split()
        for kind in ("A", "AAAA") if types == "*" else (types,):
            zone[name.lower(), kind] = Rule(list(words))
    return zone


def parse_question(packet):
    """The name, the type and where the question ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
        at += 1 + packet[at]
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(labels).lower(), TYPES.get(kind, str(kind)), at + 5


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(owner, kind, data, length=None):
    length = len(data) if length is None else length
    return encode_name(owner) + struct.pack("!HHIH", kind, 1, 0, length) + data


def address_records(owner, addresses, length=None):
    records = []
    for text in addresses:
        address = ipaddress.ip_address(text)
        records.append(record(owner, 1 if address.version == 4 else 28, address.packed, length))
    return records


def message(query, end, records=(), code=0, truncated=False, wrong_id=False):
    (identifier,) = struct.unpack_from("!H", query)
    flags = 0x8180 | code | (0x0200 if truncated else 0)
    header = struct.pack("!HHHHHH", identifier ^ (0x5555 if wrong_id else 0), flags, 1, len(records), 0, 0)
    return header + query[12:end] + b"".join(records)


def look_up(zone, name, kind):
    if (name, kind) in zone:
        return zone[name, kind]
    return Rule(["nodata" if any(owner == name for owner, _ in zone) else "nxdomain"])


def chain(zone, name, kind):
    """The CNAME records from here on and, where they end at addresses, those."""
    records = []
    for _ in range(8):
        rule = look_up(zone, name, kind)
        if rule.action == "answer":
            return records + address_records(name, rule.arguments)
        if rule.action != "cname":
            return records
        records.append(record(name, 5, encode_name(rule.arguments[0])))
        name = rule.arguments[0]
    return records


def reply(zone, query, rule, name, kind, end):
    if rule.action == "short":
        return query[:3]
    if rule.action == "garbage":
        return query[:2] + bytes((7 * i) & 0xFF for i in range(200))
    if rule.action == "badlength":
        return message(query, end, address_records(name, rule.arguments, length=0xFFF0))
    if rule.action in CODES:
        return message(query, end, code=CODES[rule.action])
    return message(query, end, chain(zone, name, kind))


def replies(zone, query, over_tcp):
    """The delay in seconds and the packets to send back."""
    name, kind, end = parse_question(query)
    rule = look_up(zone, name, kind)
    if rule.truncate and not over_tcp:
        return rule.delay, [message(query, end, truncated=True)]
    packets = []
    if rule.forge:
        lie = address_records(name, [FORGED]) if kind == "A" else []
        packets.append(message(query, end, lie, wrong_id=True))
    if rule.action != "silent":
        packets.append(reply(zone, query, rule, name, kind, end))
    return rule.delay, packets


def log(transport, query):
    name, kind, _ = parse_question(query)
    sys.stdout.write(f"query {transport} {kind} {name}\n")
    sys.stdout.flush()


def serve_udp(zone, endpoint):
    while True:
        query, client = endpoint.recvfrom(4096)
        log("udp", query)
        delay, packets = replies(zone, query, over_tcp=False)
        for packet in packets:
            if delay == 0:
                endpoint.sendto(packet, client)
                continue
            later = threading.Timer(delay, endpoint.sendto, (packet, client))
            later.daemon = True
            later.start()


def serve_tcp(zone, connection):
    with connection, connection.makefile("rb") as stream:
        while len(prefix := stream.read(2)) == 2:
            query = stream.read(struct.unpack("!H", prefix)[0])
            log("tcp", query)
            for packet in replies(zone, query, over_tcp=True)[1]:
                connection.sendall(struct.pack("!H", len(packet)) + packet)


def accept_tcp(zone, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_tcp, args=(zone, connection), daemon=True).start()


def main():
    zone = parse_zone(sys.stdin.read())
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.bind(("127.0.0.1", 53))
    listener = socket.create_server(("127.0.0.1", 53))
    threading.Thread(target=accept_tcp, args=(zone, listener), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serve_udp(zone, endpoint)


if __name__ == "__main__":
    main()
