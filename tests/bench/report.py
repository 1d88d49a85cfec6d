# SPDX-License-Identifier: GPL-2.0
"""What scripts/bench makes of a run: tables, bench.json, data for the plot, and profiles.

    report.py list                          the rows
    report.py floors ROWS                   the rows with the floors they need
    report.py report RUN TOLERANCE [ROW]    RUN holds turns, size, about, and a folder for each boot with counts (count.c) and
                                            said (guest.sh); the folder "checked" has the latter with the rows' own counts;
                                            ROW: a profile of it, too
    report.py guard RUN                     compares the ratios of a reported run with those in RUN/recorded
    report.py record RUN                    prints these ratios, a line for each row
"""

import json
import os
import sys

import rows as known
import summary
import tables
from counted import Boot
from profile import profile


def read(run, name):
    with open(os.path.join(run, name)) as f:
        return f.read()


def write(run, name, text):
    with open(os.path.join(run, name), "w") as f:
        f.write(text)


def report(run, tolerance, row):
    turns = read(run, "turns").split()
    seeds = sorted(d for d in os.listdir(run) if d.startswith("boot-"))
    boots = [Boot(os.path.join(run, d), turns) for d in seeds]
    sizes = {k: int(v) for k, v in (line.split() for line in read(run, "size").splitlines())}
    rows = summary.of_run(boots)
    data = summary.data_of_run(boots, sizes)
    table = tables.text(rows, data, len(boots))
    print(table, end="")
    write(run, "table.txt", table)
    write(run, "table.md", tables.markdown(rows, data, len(boots), read(run, "about").strip()))
    write(run, "ratios.dat", tables.plot_data(rows))
    each = {d: b.rows for d, b in zip(seeds, boots)}
    write(run, "bench.json", json.dumps({"turns": turns, "rows": rows, "data": data, "each": each}, indent=1))
    if row:
        text = profile(row, known.of(row).unit, boots[0])
        print(text, end="")
        write(run, f"profile-{row}.txt", text)
    checked = os.path.join(run, "checked")
    if os.path.isdir(checked):
        boots = [*boots, Boot(checked, turns)]
    undone = summary.undone(boots)
    if undone:
        print("bench: VOID: " + "; ".join(undone))
        sys.exit(3)
    void = summary.void(rows, tolerance)
    if void:
        worst = ", ".join(f"{r['row']} {r['c']['spread']:.2f} %" for r in void)
        print(f"bench: VOID: C does not reproduce itself within {tolerance} %, or what the row is allowed: {worst}")
        sys.exit(3)


def ratios(run):
    return {r["row"]: r["ratio"] for r in json.loads(read(run, "bench.json"))["rows"] if "ratio" in r}


def guard(run):
    """No ratio may be above the recorded one by more than 3 %. Lower ones are good news: to be recorded anew."""
    now = ratios(run)
    recorded = [line.split() for line in read(run, "recorded").splitlines() if line.strip() and not line.startswith("#")]
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


def record(run):
    print("# Instructions above the raw disk, this driver's over C's: scripts/bench --record. tests/vm/bench.sh allows 3 % more.")
    for row, ratio in ratios(run).items():
        print(f"{row} {ratio:.3f}")


def main(command, *rest):
    if command == "list":
        print("\n".join([*known.ROWS, *known.SAID]))
    elif command == "floors":
        print(known.with_floors(rest[0]))
    elif command == "guard":
        guard(rest[0])
    elif command == "record":
        record(rest[0])
    else:
        report(rest[0], float(rest[1]), rest[2] if len(rest) > 2 else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
