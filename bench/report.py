#!/usr/bin/env python3
"""Makes the report and its charts from the lines in OUT/results/*.tsv. Every figure is a median with its quartiles and extremes;
a ratio is taken between slices of the same round, which ran next to each other in time."""
import argparse
import collections
import html
import json
import pathlib
import re
import statistics

Bench = collections.namedtuple("Bench", "title unit text")
BENCHES = {
    "pingpong": Bench("Ping-pong on one CPU", "round trip", "64 bytes there and back between two threads on one CPU, so that every read waits."),
    "ready": Bench("Reading and writing without waiting", "write and read", "One thread writes and reads what it wrote, so that nothing waits."),
    "calls": Bench("Instructions and system calls", "", "Counted by callgrind and strace as the difference between a long and a short run; the same on every machine."),
    "handle": Bench("The check of a handle", "call", "The cheapest calls that check a handle, and one handle in two threads on two CPUs."),
    "connect": Bench("Connecting", "connect", "To a live listener on the loopback, accepted outside the time measured; TCP_NODELAY set on either side."),
    "dead_address": Bench("Connecting when the first address is dead", "connect", "The name has two addresses; the first swallows every packet. In a network namespace."),
    "udp": Bench("Datagrams", "burst of 54", "One thread sends 54 datagrams and receives them."),
    "bulk": Bench("Bulk data", "write or file", "A partner drains the connection; a slice ends when it has everything."),
    "relay": Bench("Relaying", "MiB", "Source and sink on one CPU, the relay on another; CPU time is the relay's alone."),
    "servers": Bench("Echo servers", "request", "One server thread on one CPU, the load generator (raw epoll) on the other, where it never sleeps, so that no server pays for waking it; one request in flight on each connection."),
}

# What libsock promises: bench, case, side, which figure, the limit. "time" and "cpu" are relative to the first side of the case
# and at most the limit; "rate" and "cpu rate" are their inverses and at least the limit; other words are metrics of "calls".
# Where one CPU does all the work, its CPU time is what counts: wall-clock time includes what other programs do there.
PROMISES = [
    ("pingpong", ".*", "libsock", "cpu", 1.05),
    ("ready", ".*", "libsock", "cpu", 1.02),
    ("calls", "write and read that need not wait.*", "libsock", "user-space instructions", 250),
    ("calls", "write and read that need not wait.*", "libsock", "system calls", 2),
    ("calls", "write and read that must wait.*", "libsock", "system calls", 4),
    ("calls", "echo of 64 bytes.*", "libsock fibers", "system calls", 2.1),
    ("connect", "connect to a literal", "libsock", "cpu rate", 0.95),
    ("udp", ".*", "libsock sock_send_to", "cpu rate", 0.95),
    ("udp", ".*", "libsock sock_send_batch", "cpu rate", 0.95),
    ("udp", ".*", "libsock segments", "cpu rate", 0.95),
    ("bulk", "writes.*", "libsock", "rate", 0.98),
    ("bulk", "file.*", "libsock sock_send_file", "rate", 0.98),
    ("relay", ".*", "libsock sock_relay", "cpu", 1.1),
    ("servers", ".*bytes", "libsock fibers", "cpu rate", 0.97),
    ("servers", ".*bytes", "libsock poller", "cpu rate", 0.98),
    ("servers", "short connections", "libsock fibers", "cpu rate", 0.95),
]

Slice = collections.namedtuple("Slice", "operations wall cpu p50 p99")


def promise(bench, case, side):
    """The figures promised for a side of a case: {figure: limit}."""
    return {figure: limit for b, c, s, figure, limit in PROMISES if b == bench and s == side and re.fullmatch(c, case)}


def load(out, name):
    """{case: {side: {round: Slice}}} in the order of the file."""
    cases = {}
    for line in (out / "results" / f"{name}.tsv").read_text().splitlines():
        case, side, number, *values = line.split("\t")
        values = [int(value) for value in values] + [0, 0]
        if values[0] == 0:
            continue  # on a busy machine a slice may pass before anything is done
        cases.setdefault(case, {}).setdefault(side, {})[int(number)] = Slice(*values[:5])
    return cases


class Spread:
    """The median of some figures, their quartiles and extremes."""

    def __init__(self, values):
        values = sorted(values)
        self.median = statistics.median(values)
        self.least, self.most = values[0], values[-1]
        self.low, _, self.high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3

    def __str__(self):
        return f"{self.median:.3f} [{self.low:.3f} {self.high:.3f}] ({self.least:.2f} {self.most:.2f})"


def ratios(side, baseline, figure):
    """One figure of a side relative to the baseline's, round by round."""
    def per_operation(one):
        value = one.cpu if figure.startswith("cpu") else one.wall
        return value / max(one.operations, 1)
    values = []
    for number in sorted(side.keys() & baseline.keys()):
        mine, base = per_operation(side[number]), per_operation(baseline[number])
        if mine > 0 and base > 0:
            values.append(base / mine if figure.endswith("rate") else mine / base)
    return Spread(values) if values else None


def duration(ns):
    for limit, unit in ((1e3, "ns"), (1e6, "µs"), (1e9, "ms")):
        if ns < limit:
            scaled = ns / (limit / 1e3)
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {unit}"
    return f"{ns / 1e9:.2f} s"


def verdict(figure, value, limit):
    rate = figure.endswith("rate")
    met = value >= limit if rate else value <= limit
    sign = "≥" if rate else "≤"
    return f"{figure} {sign} {limit:g}: {'met' if met else 'MISSED'}"


def table(head, rows):
    """A Markdown table that is aligned for the eye as well."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def comparison(name, case, sides):
    baseline = next(iter(sides.values()))
    rows = []
    for label, slices in sides.items():
        wall = statistics.median(s.wall / s.operations for s in slices.values())
        time, cpu = ratios(slices, baseline, "time"), ratios(slices, baseline, "cpu")
        kept = []
        for figure, limit in promise(name, case, label).items():
            kept.append(verdict(figure, ratios(slices, baseline, figure).median, limit))
        rows.append([label, duration(wall), "1" if slices is baseline else time, "1" if slices is baseline else
                     f"{cpu.median:.3f} [{cpu.low:.3f} {cpu.high:.3f}]" if cpu else "", "; ".join(kept)])
    return f"**{case}**\n\n" + table(["", f"a {BENCHES[name].unit}", "time, relative", "CPU time, relative", "promise"], rows)


def server_comparison(case, sides):
    if case.startswith("memory"):
        rows = [[label, f"{s[0].wall / s[0].operations:.0f} bytes"] for label, s in sides.items()]
        return f"**{case}** (resident, {next(iter(sides.values()))[0].operations} connections)\n\n" + table(["", "a connection"], rows)
    baseline = next(iter(sides.values()))
    rows = []
    for label, slices in sides.items():
        each = slices.values()
        rate = statistics.median(s.operations / s.wall * 1e9 for s in each)
        relative, cpu = ratios(slices, baseline, "rate"), ratios(slices, baseline, "cpu")
        kept = [verdict(figure, ratios(slices, baseline, figure).median, limit) for figure, limit in promise("servers", case, label).items()]
        rows.append([label, f"{rate:.0f}", "1" if slices is baseline else relative, duration(statistics.median(s.p50 for s in each)),
                     duration(statistics.median(s.p99 for s in each)), duration(statistics.median(s.cpu / s.operations for s in each)),
                     "1" if slices is baseline or cpu is None else f"{cpu.median:.3f} [{cpu.low:.3f} {cpu.high:.3f}]", "; ".join(kept)])
    return f"**{case}**\n\n" + table(["", "a second", "rate, relative", "p50", "p99", "CPU each", "CPU, relative", "promise"], rows)


def calls(out):
    rows = []
    for line in (out / "results" / "calls.tsv").read_text().splitlines():
        case, side, metric, value = line.split("\t")
        limit = promise("calls", case, side).get(metric)
        kept = "" if limit is None else f"≤ {limit:g}: {'met' if float(value) <= limit + 0.05 else 'MISSED'}"
        rows.append([case, side, metric, value, kept])
    return table(["", "side", "", "each", "promise"], rows)


def section(out, name):
    bench = BENCHES[name]
    parts = [f"## {bench.title}", bench.text]
    if name == "calls":
        parts.append(calls(out))
    elif name == "servers":
        parts += [server_comparison(case, sides) for case, sides in load(out, name).items()]
    else:
        parts += [comparison(name, case, sides) for case, sides in load(out, name).items()]
    return "\n\n".join(parts) + "\n"


def present(out):
    return [name for name in BENCHES if (out / "results" / f"{name}.tsv").exists()]


INTRODUCTION = """# Benchmarks

libsock against raw system calls and against other libraries, all of them programs in `bench/`, measured on one machine:

{machine}

Repeat it with `make bench-deps bench` (about six minutes; `make bench BENCH="pingpong udp"` for a part, `QUICK=1` for a glance), and
turn it into this page with `make bench-docs`.

The sides of a comparison run in turn, A B C, C B A, in slices of a few milliseconds, pinned to CPUs. A ratio is taken between slices of
the same round and written `median [lower quartile, upper quartile] (least, most)`. The first side is the baseline; a relative time below 1
is faster than it, a relative rate above 1. Where one CPU does all the work (one thread, two threads on one CPU, a server on its own) a
promise is checked against the CPU time, because wall-clock time includes whatever else the machine does; "cpu rate" is its inverse.
Absolute figures are medians and belong to this machine. The loopback is not a network: it shows what the
library costs, not what a wire gives.
"""


def about(out):
    path = out / "results" / "machine.json"
    facts = json.loads(path.read_text()) if path.exists() else {}
    lines = [f"{facts.get('cpus')} CPUs of {facts.get('cpu')}, Linux {facts.get('kernel')}, {facts.get('libc')}, {facts.get('compiler')}, "
             f"{facts.get('date')}, at commit {facts.get('commit')}"]
    if facts.get("peers"):
        lines.append("; ".join(f"{label} {version}" for label, version in facts["peers"].items()))
    if facts.get("busy", 0) > 10:
        lines.append(f"busy with other work for {facts['busy']} % of its time; the absolute figures and wall-clock times suffer, as the spreads show")
    if facts.get("quick"):
        lines.append(f"from quick runs, with few rounds: {', '.join(facts['quick'])}")
    lines += [f"skipped: {line}" for line in facts.get("skipped", [])]
    return "\n".join(f"- {line}" for line in lines)


def page(out, raw_chart, server_chart):
    parts = [INTRODUCTION.format(machine=about(out))]
    if any(name not in ("calls", "servers") for name in present(out)):
        parts.append(f"![libsock's time relative to raw system calls]({raw_chart})\n")
    for name in present(out):
        if name == "servers":
            parts.append(f"![Requests a second relative to raw epoll]({server_chart})\n")
        parts.append(section(out, name))
    return "\n".join(parts)


# ---- charts ----

STYLE = ('<style>text{font:13px system-ui,sans-serif;fill:#333}.small{font-size:11px;fill:#777}'
         '@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}}</style>')


def text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(words)}</text>'


def line(x1, y1, x2, y2, colour, width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def document(width, height, shapes):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
            f'{STYLE}{"".join(shapes)}</svg>\n')


def raw_chart(out):
    """A dot for each case: libsock's time relative to the raw calls', with its quartiles."""
    rows = []
    for name in present(out):
        if name in ("calls", "servers", "handle", "dead_address"):
            continue
        for case, sides in load(out, name).items():
            baseline = next(iter(sides.values()))
            rows += [(f"{BENCHES[name].title}: {case}", ratios(slices, baseline, "time"))
                     for label, slices in sides.items() if label.startswith("libsock")]
    low, high, left, width, step = 0.7, 1.5, 510, 330, 20

    def x(ratio):
        return left + (min(max(ratio, low), high) - low) / (high - low) * width
    height = 60 + step * len(rows)
    shapes = [text(10, 20, "libsock's time relative to raw system calls (left of 1 is faster; bar: quartiles)")]
    for tick in (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5):
        shapes.append(line(x(tick), 34, x(tick), height - 20, "#888" if tick == 1 else "#ccc"))
        shapes.append(text(x(tick), height - 6, f"{tick:.1f}", "middle", "small"))
    for i, (label, spread) in enumerate(rows):
        y = 48 + i * step
        shapes.append(text(left - 10, y + 4, label, "end"))
        shapes.append(line(x(spread.low), y, x(spread.high), y, "#2a7", 5))
        shapes.append(f'<circle cx="{x(spread.median):.1f}" cy="{y}" r="4" fill="#164"/>')
        shapes.append(text(left + width + 10, y + 4, f"{spread.median:.2f}"))
    return document(left + width + 60, height, shapes)


def server_chart(out):
    """Bars for each load: requests a second relative to raw epoll."""
    cases = {case: sides for case, sides in load(out, "servers").items() if not case.startswith("memory")}
    left, width, step, y = 150, 480, 16, 34
    shapes = [text(10, 20, "Requests a second relative to hand-written epoll")]
    for case, sides in cases.items():
        baseline = next(iter(sides.values()))
        y += 12
        shapes.append(text(10, y + 8, case))
        y += 14
        for label, slices in sides.items():
            ratio = ratios(slices, baseline, "rate").median
            length = min(ratio, 1.3) / 1.3 * width
            colour = "#2a7" if label.startswith("libsock") else "#bbb" if label.startswith("raw") else "#89a"
            shapes.append(text(left - 8, y + 11, label, "end", "small"))
            shapes.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{step - 4}" fill="{colour}"/>')
            shapes.append(text(left + length + 6, y + 11, f"{ratio:.2f}", "start", "small"))
            y += step
    return document(left + width + 60, y + 14, shapes)


def write(out, docs=None):
    """The report in OUT, or the page for the documentation."""
    folder, page_name, prefix = (out, "report.md", "report") if docs is None else (docs, "benchmarks.md", "benchmarks")
    names = present(out)
    folder.mkdir(parents=True, exist_ok=True)
    if any(name not in ("calls", "servers") for name in names):
        (folder / f"{prefix}-raw.svg").write_text(raw_chart(out))
    if "servers" in names:
        (folder / f"{prefix}-servers.svg").write_text(server_chart(out))
    (folder / page_name).write_text(page(out, f"{prefix}-raw.svg", f"{prefix}-servers.svg"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--docs", type=pathlib.Path)
    given = parser.parse_args()
    write(given.out, given.docs)


if __name__ == "__main__":
    main()
