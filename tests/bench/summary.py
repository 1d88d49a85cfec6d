# SPDX-License-Identifier: GPL-2.0
"""Figures of one boot and of all boots of a run."""

import rows as known


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else None


def apart(values):
    """How far apart they are, in percent of their mean."""
    values = list(values)
    middle = mean(values)
    return (max(values) - min(values)) / abs(middle) * 100 if middle else 0.0


def total(figures):
    return figures["module"] + figures["kernel"]


def floor_of(name, units, raw):
    """What is taken off: the same job's on the raw disk; of the time that gc is waited for, each unit's share."""
    floor = known.of(name).floor
    if floor not in raw:
        return 0.0
    return raw[floor] / units if floor == "raw-idle" else raw[floor]


def of_driver(turns, floor):
    totals = [total(t) for t in turns]
    return {
        "module": mean(t["module"] for t in turns),
        "kernel": mean(t["kernel"] for t in turns),
        "above": mean(totals) - floor,
        "spread": apart(totals),
    }


def of_boot(boot):
    """{name: figures} of one boot."""
    raw = {name: total(r[0]) for name, r in boot.rows.items() if r[0]["driver"] == "raw"}
    out = {}
    for name, measured in boot.rows.items():
        units = measured[0]["units"]
        row = {"row": name, "unit": known.of(name).unit, "units": units, "floor": floor_of(name, units, raw)}
        out[name] = row
        if name in raw:
            row["raw"] = raw[name]
            continue
        for driver in ("c", "rust"):
            turns = [t for t in measured if t["driver"] == driver]
            if turns:
                row[driver] = of_driver(turns, row["floor"])
        if "c" in row and "rust" in row:
            row["ratio"] = row["rust"]["above"] / row["c"]["above"]
            row["module_ratio"] = row["rust"]["module"] / row["c"]["module"]
    return out


def joined(name, boots):
    """A row's figures over all boots: means; the turns' spread is the worst; "boots" is how far the boots are apart."""
    first = boots[0][name]
    row = {k: first[k] for k in ("row", "unit", "units")}
    for key in ("floor", "raw", "ratio", "module_ratio"):
        if key in first:
            row[key] = mean(b[name][key] for b in boots)
    for driver in ("c", "rust"):
        if driver in first:
            row[driver] = {k: mean(b[name][driver][k] for b in boots) for k in ("module", "kernel", "above")}
            row[driver]["spread"] = max(b[name][driver]["spread"] for b in boots)
            row[driver]["boots"] = apart(b[name][driver]["above"] for b in boots)
    if "ratio" in first:
        row["boots"] = apart(b[name]["ratio"] for b in boots)
    elif "raw" in first:
        row["boots"] = apart(b[name]["raw"] for b in boots)
    return row


def of_run(boots):
    """The rows of a run, in their order."""
    each = [of_boot(b) for b in boots]
    return [joined(name, each) for name in each[0]]


def data_of_run(boots, sizes):
    """[{name, c, rust, ratio, spread}] of what was said beside the rows, over all boots and turns."""
    found = {}
    for boot in boots:
        for name, by_driver in boot.data().items():
            for driver, values in by_driver.items():
                found.setdefault(name, {}).setdefault(driver, []).extend(values)
    for driver, size in sizes.items():
        found.setdefault("text-bytes", {})[driver] = [size]
    out = []
    for name, by_driver in found.items():
        if by_driver.keys() <= {"raw"}:
            continue
        line = {"name": name}
        for driver in ("c", "rust"):
            if driver in by_driver:
                line[driver] = mean(by_driver[driver])
                line[driver + "_spread"] = apart(by_driver[driver])
        if line.get("c") and "rust" in line:
            line["ratio"] = line["rust"] / line["c"]
        out.append(line)
    return out


# Requests of the job in front of a row (lib.sh), which may go either way.
WARM = 200


def is_near(a, b, share, units):
    return abs(a - b) <= share * units + WARM


def undone(boots):
    """Rows that did not do what they are named after, or not the same with each driver, in words."""
    bad = []
    for boot in boots:
        for name, turns in boot.did().items():
            units = boot.rows[name][0]["units"]
            share = known.APART.get(name, 0.002)
            for driver, counts, dirty in turns:
                first = turns[0][1]
                if not all(is_near(a, b, share, units) for a, b in zip(counts, first)):
                    bad.append(f"{name}: {driver} counts {counts}, {turns[0][0]} {first}")
                if dirty != turns[0][2] and name not in known.APART:
                    bad.append(f"{name}: {driver} leaves {dirty} dirty, {turns[0][0]} {turns[0][2]}")
                for begin, where, room in known.DOES:
                    if name.startswith(begin):
                        went = counts[where] if where is not None else units - sum(counts)
                        if went < units * (1 - room):
                            bad.append(f"{name}: {driver}: {went} of {units} requests are what the row is named after")
    return bad


def void(rows, tolerance):
    """Rows in which C does not reproduce itself."""
    return [r for r in rows if r.get("c", {}).get("spread", 0) > max(tolerance, known.of(r["row"]).tolerance or 0)]
