# SPDX-License-Identifier: GPL-2.0
"""What scripts/bench makes of a run: the table, bench.json and profiles.

    report.py floors ROWS                   the rows with the floors they need
    report.py report RUN TOLERANCE [ROW]    RUN holds counts (count.c) and said (guest.sh); ROW: a profile of it, too
    report.py guard RUN                     compares the ratios of a reported run with those in RUN/recorded
    report.py record RUN                    prints these ratios, a line for each row
"""

import bisect
import json
import os
import subprocess
import sys

# The raw disk's row that is taken off a row's kernel and module instructions.
FLOOR = {
    "pass-read-1": "raw-read-1",
    "pass-write-1": "raw-write-1",
    "wt-write-1": "raw-write-1",
    "wt-write-32": "raw-write-32",
    "hit-read-1": "raw-read-1",
    "hit-read-32": "raw-read-32",
    "miss-read-1": "raw-read-1",
    "miss-read-32": "raw-read-32",
    "bypass-read-1": "raw-read-1",
    "bypass-write-1": "raw-write-1",
    "wb-write-1": "raw-write-1",
    "wb-write-32": "raw-write-32",
    "wb-fsync-1": "raw-fsync-1",
    "wb-write-64k": "raw-write-64k",
    "hit-read-64k": "raw-read-64k",
    "wb-write-1m": "raw-write-1m",
    "hit-read-1m": "raw-read-1m",
}
USER_END = 1 << 63


def floors(rows):
    if rows == "all":
        return rows
    names = [r for r in rows.split(",") if r]
    unknown = [r for r in names if r not in FLOOR and r not in FLOOR.values()]
    if unknown:
        sys.exit("bench: no such row: " + ", ".join(unknown))
    return ",".join(sorted(set(names) | {FLOOR[r] for r in names if r in FLOOR}))


def brackets(path):
    """Yields (user, {address: count}) of each bracket."""
    user, blocks = 0, {}
    with open(path) as f:
        for line in f:
            what, *rest = line.split()
            if what == "bracket":
                user, blocks = 0, {}
            elif what == "user":
                user = int(rest[0])
            elif what == "end":
                yield user, blocks
            else:
                address = int(what, 16)
                blocks[address] = blocks.get(address, 0) + int(rest[0])


class Said:
    """What the guest said: rows in order, and per turn the modules, symbols and other figures."""

    def __init__(self, path):
        self.rows, self.modules, self.symbols, self.data = [], {}, {}, []
        with open(path, errors="replace") as f:
            lines = iter(f)
            for line in lines:
                words = line.split()
                if not words:
                    continue
                if words[0] == "row":
                    self.rows.append((int(words[1]), words[2], int(words[3])))
                elif words[0] == "data":
                    self.data.append((int(words[1]), words[2], " ".join(words[3:])))
                elif words[0] == "modules":
                    self.modules[int(words[1])] = sorted(module(l) for l in until_end(lines))
                elif words[0] == "symbols":
                    self.symbols[int(words[1])] = [symbol(l) for l in until_end(lines)]


def until_end(lines):
    for line in lines:
        if line == "end\n":
            return
        yield line


def module(line):
    """(address, end, name) of a line of /proc/modules. The text of a module starts at its address."""
    words = line.split()
    address = int(words[5], 16)
    return address, address + int(words[1]), words[0]


def symbol(line):
    """(address, name, module) of a line of /proc/kallsyms."""
    words = line.split()
    return int(words[0], 16), words[2], words[3].strip("[]") if len(words) > 3 else "kernel", words[1]


def split(blocks, modules):
    """Instructions by module; the kernel proper is "kernel"."""
    starts = [m[0] for m in modules]
    sums = {"kernel": 0}
    for address, count in blocks.items():
        i = bisect.bisect_right(starts, address) - 1
        name = modules[i][2] if i >= 0 and address < modules[i][1] else "kernel"
        sums[name] = sums.get(name, 0) + count
    return sums


def measure(run, turns):
    said = Said(os.path.join(run, "said"))
    found = list(brackets(os.path.join(run, "counts")))
    if len(found) != len(said.rows):
        sys.exit(f"bench: {len(found)} brackets were counted for {len(said.rows)} rows")
    rows = {}
    kept = {}
    for (turn, name, units), (user, blocks) in zip(said.rows, found):
        sums = split(blocks, said.modules[turn])
        driver = sums.pop("bcache", 0)
        below = sum(sums.values())
        rows.setdefault(name, []).append(
            {
                "turn": turn,
                "driver": "raw" if turn == 0 else turns[turn - 1],
                "units": units,
                "user": user / units,
                "module": driver / units,
                "kernel": below / units,
            }
        )
        kept[name, turn] = units, blocks
    return said, rows, kept


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def summary(rows):
    """One dictionary per row: for each driver instructions in it and above the floor, the ratio, C's own spread."""
    total = lambda r: r["module"] + r["kernel"]
    raw = {name: total(rs[0]) for name, rs in rows.items() if rs[0]["driver"] == "raw"}
    out = []
    for name, rs in rows.items():
        if name in raw:
            out.append({"row": name, "raw": raw[name], "user": rs[0]["user"]})
            continue
        row = {"row": name, "units": rs[0]["units"], "floor": raw.get(FLOOR.get(name), 0.0)}
        for driver in ("c", "rust"):
            mine = [r for r in rs if r["driver"] == driver]
            if not mine:
                continue
            totals = [total(r) for r in mine]
            row[driver] = {
                "module": mean(r["module"] for r in mine),
                "kernel": mean(r["kernel"] for r in mine),
                "above": mean(totals) - row["floor"],
                "spread": (max(totals) - min(totals)) / mean(totals) * 100,
            }
        if "c" in row and "rust" in row:
            row["ratio"] = row["rust"]["above"] / row["c"]["above"]
            row["module_ratio"] = row["rust"]["module"] / row["c"]["module"]
        out.append(row)
    return out


def number(x):
    return "-" if x is None else f"{x:,.0f}"


def table(rows):
    lines = [
        "Guest instructions per request. module: in the driver itself; kernel: everything else below user space;",
        "above raw: both, less what the same job costs on the raw disk. again: how far a driver's turns are apart.",
        "",
        f"{'row':<16}{'raw':>9} |{'C module':>9}{'kernel':>9}{'above raw':>10}{'again':>8} |"
        f"{'R module':>9}{'kernel':>9}{'above raw':>10}{'again':>8} |{'module':>7}{'ABOVE':>7}",
    ]
    for r in rows:
        if "raw" in r:
            lines.append(f"{r['row']:<16}{number(r['raw']):>9} |")
            continue
        line = f"{r['row']:<16}{number(r['floor']):>9} |"
        for d in ("c", "rust"):
            v = r.get(d)
            if v:
                line += f"{number(v['module']):>9}{number(v['kernel']):>9}{number(v['above']):>10}{v['spread']:>7.2f}% |"
            else:
                line += f"{'-':>9}{'-':>9}{'-':>10}{'-':>8} |"
        line += f"{r['module_ratio']:>7.2f}{r['ratio']:>7.2f}" if "ratio" in r else ""
        lines.append(line)
    return "\n".join(lines) + "\n"


def demangle(names):
    got = subprocess.run(["llvm-cxxfilt-19"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, got.stdout.splitlines()))


def profile(row, said, kept, turns):
    """Instructions per request by function, the last turn of each driver."""
    text = []
    for driver in ("c", "rust"):
        turn = max((t for (n, t) in kept if n == row and turns[t - 1] == driver), default=None)
        if turn is None:
            continue
        units, blocks = kept[row, turn]
        own = [s for s in said.symbols[turn] if s[2] == "bcache"]
        base = [s for s in said.symbols[0] if s[2] != "bcache"]
        symbols = sorted(s for s in base + own if s[3] in "tTwW")
        starts = [s[0] for s in symbols]
        sums = {}
        for address, count in blocks.items():
            i = bisect.bisect_right(starts, address) - 1
            key = (symbols[i][2], symbols[i][1]) if i >= 0 else ("?", hex(address))
            sums[key] = sums.get(key, 0) + count
        names = demangle([n for _, n in sums])
        total = sum(sums.values())
        text.append(f"{row}, {driver}: {total / units:,.0f} instructions per request below user space, by function")
        for (where, name), count in sorted(sums.items(), key=lambda kv: -kv[1]):
            if count * 2000 < total:
                break
            text.append(f"{count / units:>10,.1f} {count * 100 / total:>6.2f}%  {where:<12} {names[name]}")
        text.append("")
    return "\n".join(text)


def report(run, tolerance, row):
    with open(os.path.join(run, "turns")) as f:
        turns = f.read().split()
    said, rows, kept = measure(run, turns)
    table_rows = summary(rows)
    text = table(table_rows)
    print(text, end="")
    with open(os.path.join(run, "table.txt"), "w") as f:
        f.write(text)
    with open(os.path.join(run, "bench.json"), "w") as f:
        json.dump({"turns": turns, "rows": table_rows, "each": rows, "data": said.data}, f, indent=1)
    if row:
        text = profile(row, said, kept, turns)
        print(text, end="")
        with open(os.path.join(run, f"profile-{row}.txt"), "w") as f:
            f.write(text)
    void = [r for r in table_rows if r.get("c", {}).get("spread", 0) > tolerance]
    if void:
        worst = ", ".join(f"{r['row']} {r['c']['spread']:.2f} %" for r in void)
        print(f"bench: VOID: C does not reproduce itself within {tolerance} %: {worst}")
        sys.exit(3)


def ratios(run):
    with open(os.path.join(run, "bench.json")) as f:
        return {r["row"]: r["ratio"] for r in json.load(f)["rows"] if "ratio" in r}


def guard(run):
    """No ratio may be above the recorded one by more than 3 %. Lower ones are good news: to be recorded anew."""
    now = ratios(run)
    with open(os.path.join(run, "recorded")) as f:
        recorded = [line.split() for line in f if line.strip() and not line.startswith("#")]
    failed = 0
    print("KTAP version 1")
    for n, (row, ratio) in enumerate(recorded, 1):
        limit = float(ratio) * 1.03
        good = row in now and now[row] <= limit
        failed += not good
        got = f"{now[row]:.3f}" if row in now else "not measured"
        print(f"{'ok' if good else 'not ok'} {n} {row}: {got} of C's instructions above the raw disk (recorded {ratio}, at most {limit:.3f})")
    print(f"1..{len(recorded)}")
    sys.exit(1 if failed or not recorded else 0)


if __name__ == "__main__":
    if sys.argv[1] == "floors":
        print(floors(sys.argv[2]))
    elif sys.argv[1] == "guard":
        guard(sys.argv[2])
    elif sys.argv[1] == "record":
        print("# Instructions above the raw disk, this driver's over C's: scripts/bench --record. tests/vm/bench.sh allows 3 % more.")
        for row, ratio in ratios(sys.argv[2]).items():
            print(f"{row} {ratio:.3f}")
    else:
        report(sys.argv[2], float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "")
