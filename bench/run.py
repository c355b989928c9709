#!/usr/bin/env python3
"""Runs the bench programs that were asked for, keeps what they print in OUT/results/NAME.tsv, and prints their tables.

A program prints a line for each slice: case, side, round, operations, wall ns, CPU ns (and p50 ns, p99 ns for servers).
The names "calls" and "servers" are others' programs run under strace and callgrind, and under the load generator."""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import report

SERVERS = {
    "epoll": "raw epoll", "epoll each": "raw epoll, a buffer each", "sock_poller": "libsock poller", "sock_serve fibers": "libsock fibers",
    "sock_serve threads": "libsock threads", "libuv": "libuv", "libevent": "libevent", "glib": "GLib", "asio": "Asio",
}
NAMESPACE = """
set -e
ip link set lo up
# Resolvers leave out a family for which the machine has only the loopback address.
ip addr add 192.0.2.1/32 dev lo
ip addr add 2001:db8::1/128 dev lo nodad
nft add table inet bench
nft 'add chain inet bench input { type filter hook input priority 0; }'
nft 'add rule inet bench input ip6 daddr ::1 tcp flags & syn == syn drop'
mount --bind "$1" /etc/hosts
exec "$2" $3
"""


class Skipped(Exception):
    pass


def need(tool):
    if shutil.which(tool) is None:
        raise Skipped(f"{tool} is missing")


def run_program(out, name, quick):
    command = [out / name] + (["--quick"] if quick else [])
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def run_dead_address(out, quick):
    for tool in ("unshare", "ip", "nft"):
        need(tool)
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write("::1 dead.test\n127.0.0.1 dead.test localhost\n")
        hosts.flush()
        os.chmod(hosts.name, 0o644)
        command = ["unshare", "-Urnm", "sh", "-c", NAMESPACE, "sh", hosts.name, out / "dead_address", "--quick" if quick else ""]
        ended = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if ended.returncode != 0:
        raise Skipped("no connection through a namespace: " + ended.stderr.strip())
    return ended.stdout


def instructions(program, case, side, count):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "--only", case, side, str(count)]
    text = subprocess.run(command, check=True, text=True, stderr=subprocess.PIPE).stderr
    return int(re.search(r"Collected : (\d+)", text).group(1))


def total_calls(summary):
    """The number in the total line of strace -c: usecs/call and errors are columns that may be empty."""
    for line in summary.splitlines():
        fields = line.split()
        if fields and fields[-1] == "total":
            return int(fields[3])
    raise Skipped("strace printed no summary")


def system_calls(program, case, side, count):
    with tempfile.NamedTemporaryFile("r") as summary:
        subprocess.run(["strace", "-c", "-o", summary.name, program, "--only", case, side, str(count)], check=True)
        return total_calls(summary.read())


def server_calls(out, arguments, count):
    with tempfile.NamedTemporaryFile("r") as summary:
        command = ["strace", "-f", "-c", "-o", summary.name, out / "servers" / arguments[0], *arguments[1:]]
        server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        port = server.stdout.readline().strip()
        try:
            subprocess.run([out / "load", "--attach", port, str(count)], check=True)
        finally:
            child = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            os.kill(int(child[0]) if child else server.pid, signal.SIGTERM)
            server.wait(10)
        return total_calls(summary.read())


def per_operation(measure, few, many):
    """What one operation adds: start-up and set-up cancel out between two runs of different length."""
    return (measure(many) - measure(few)) / (many - few)


def run_calls(out, quick):
    lines = []
    need("valgrind")
    need("strace")
    listed = subprocess.run([out / "ready", "--list"], check=True, text=True, stdout=subprocess.PIPE).stdout
    for case, side in (line.split("\t") for line in listed.splitlines()):
        if case not in ("TCP, 64 bytes", "TCP, 64 bytes into a buffer of 4096"):
            continue
        name = f"write and read that need not wait, {case}"
        count = per_operation(lambda n: instructions(out / "ready", case, side, n), 1000, 3000)
        lines.append(f"{name}\t{side}\tuser-space instructions\t{count:.1f}")
        count = per_operation(lambda n: system_calls(out / "ready", case, side, n), 1000, 3000)
        lines.append(f"{name}\t{side}\tsystem calls\t{count:.2f}")
    for side in ("recv/send", "libsock"):
        count = per_operation(lambda n: system_calls(out / "pingpong", "waiting", side, n), 20, 120)
        lines.append(f"write and read that must wait, TCP, 64 bytes\t{side}\tsystem calls\t{count:.2f}")
    if (out / "load").exists():
        for arguments in ("epoll", "sock_serve fibers", "sock_poller"):
            if not (out / "servers" / arguments.split()[0]).exists():
                continue
            count = per_operation(lambda n: server_calls(out, arguments.split(), n), 10000, 30000)
            lines.append(f"echo of 64 bytes under load, 64 connections\t{SERVERS[arguments]}\tsystem calls\t{count:.2f}")
    return "".join(line + "\n" for line in lines)


def run_servers(out, quick, rejected):
    servers = [f"{label}={out / 'servers' / command}" for command, label in SERVERS.items()
               if (out / "servers" / command.split()[0]).exists() and command.split()[0] not in rejected]
    command = [out / "load"] + (["--quick"] if quick else []) + servers
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def version_of(command):
    try:
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def asio_version():
    """No package says it, only a header: major times 100000, minor times 100, patch."""
    try:
        told = subprocess.run([*os.environ.get("CXX", "c++").split(), "-E", "-P", "-x", "c++", "-"], check=True, text=True, capture_output=True,
                              input="#include <asio/version.hpp>\nASIO_VERSION\n").stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    number = re.search(r"\d+", told.splitlines()[-1])
    return number and f"{int(number[0]) // 100000}.{int(number[0]) // 100 % 1000}.{int(number[0]) % 100}"


def busy():
    """How much of the CPUs' time others take, in percent of a second."""
    def times():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # idle, and waiting for a disk
    all_before, idle_before = times()
    time.sleep(1)
    all_after, idle_after = times()
    return round(100 - 100 * (idle_after - idle_before) / (all_after - all_before))


def machine(others):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    packages = {"libuv": "libuv", "libevent": "libevent", "GLib": "gio-2.0", "libcurl": "libcurl"}
    versions = {label: version_of(["pkg-config", "--modversion", package]) for label, package in packages.items()}
    versions["Asio"] = asio_version()
    return {
        "date": time.strftime("%Y-%m-%d"), "cpu": cpu.group(1) if cpu else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release().partition("-")[0], "libc": " ".join(platform.libc_ver()),
        "busy": others,
        "compiler": version_of([*os.environ.get("CC", "cc").split(), "--version"]), "commit": version_of(["git", "rev-parse", "--short", "HEAD"]),
        "peers": {label: version for label, version in versions.items() if version},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--absent", action="append", default=[], help="a library that is not installed")
    parser.add_argument("names", nargs="+")
    given = parser.parse_args()
    others = busy()
    results = given.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    skipped = [f"{library} (its development package is not installed; make bench-deps)" for library in given.absent]
    failed = []
    for name in given.names:
        print(f"== {name}", flush=True)
        try:
            if name == "calls":
                text = run_calls(given.out, given.quick)
            elif name == "servers":
                text = run_servers(given.out, given.quick, given.absent)
            elif name == "dead_address":
                text = run_dead_address(given.out, given.quick)
            else:
                text = run_program(given.out, name, given.quick)
        except Skipped as reason:
            skipped.append(f"{name} ({reason})")
            continue
        except subprocess.CalledProcessError as error:
            failed.append(f"{name}: {error}")
            continue
        (results / f"{name}.tsv").write_text(text)
        print(report.section(given.out, name), flush=True)
    path = results / "machine.json"
    before = json.loads(path.read_text())["quick"] if path.exists() else []
    # Which of the results that are there come from quick runs.
    quick = sorted(set(before) - set(given.names) | set(given.names if given.quick else []))
    about = machine(others) | {"quick": quick, "skipped": skipped}
    path.write_text(json.dumps(about, indent=2) + "\n")
    report.write(given.out)
    for line in skipped:
        print(f"skipped: {line}")
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    print(f"report: {given.out / 'report.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
