# SPDX-License-Identifier: GPL-2.0
"""The table of a run: for a terminal, in Markdown, and as data for the plot."""

import rows as known


def number(x):
    if x is None:
        return "-"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:,.1f}"


def share(x):
    return "-" if x is None else f"{x:.2f}"


def driver_columns(v):
    if not v:
        return f"{'-':>11}{'-':>11}{'-':>11}{'-':>8} |"
    return f"{number(v['module']):>11}{number(v['kernel']):>11}{number(v['above']):>11}{v['spread']:>7.2f}% |"


def text(rows, data, boots):
    lines = [
        "Guest instructions per request, or per what is said. module: in the driver itself; kernel: everything else below user space;",
        "above raw: both, less what the same job costs on the raw disk. again: how far a driver's turns in one boot are apart;",
        f"boots: how far the ratios of {boots} boot{'s are' if boots > 1 else ' is'} apart.",
        "",
        f"{'row':<20}{'per':<10}{'raw':>9} |{'C module':>11}{'kernel':>11}{'above raw':>11}{'again':>8} |"
        f"{'R module':>11}{'kernel':>11}{'above raw':>11}{'again':>8} |{'module':>7}{'ABOVE':>7}{'boots':>8}",
    ]
    for r in rows:
        line = f"{r['row']:<20}{r['unit']:<10}"
        if "raw" in r:
            line += f"{number(r['raw']):>9} |" + (f" {number(r['raw'] - r['floor'])} above the raw disk" if r["floor"] else "")
        else:
            line += f"{number(r['floor']):>9} |" + driver_columns(r.get("c")) + driver_columns(r.get("rust"))
            if "ratio" in r:
                line += f"{r['module_ratio']:>7.2f}{r['ratio']:>7.2f}{r['boots']:>7.2f}%"
        lines.append(line)
    lines += ["", f"{'other figures':<30}{'C':>14}{'again':>9}{'here':>14}{'again':>9}{'ratio':>8}"]
    for d in data:
        lines.append(
            f"{d['name']:<30}{number(d.get('c')):>14}{d.get('c_spread', 0):>8.1f}%"
            f"{number(d.get('rust')):>14}{d.get('rust_spread', 0):>8.1f}%{share(d.get('ratio')):>8}"
        )
    return "\n".join(lines) + "\n"


def markdown(rows, data, boots, about):
    """What docs/bench.md shows between its markers."""
    lines = [about, ""]
    lines += ["| row | per | raw disk | C: driver | C: above raw | here: driver | here: above raw | driver | **above raw** | boots | C again |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for r in rows:
        if "ratio" not in r:
            continue
        c, rust = r["c"], r["rust"]
        cells = [r["row"], r["unit"], number(r["floor"]), number(c["module"]), number(c["above"]), number(rust["module"])]
        cells += [number(rust["above"]), share(r["module_ratio"]), f"**{share(r['ratio'])}**", f"{r['boots']:.1f} %", again(r)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += reasons(rows) + parts(rows) + floors(rows) + others(data) + targets(rows, data)
    return "\n".join(lines) + "\n"


def again(r):
    own = known.of(r["row"]).tolerance
    return f"{r['c']['spread']:.2f} %" + (f" (may be {own:g})" if own else "")


def reasons(rows):
    """Why some rows may differ more."""
    found = {}
    for r in rows:
        if known.of(r["row"]).tolerance:
            found.setdefault(known.of(r["row"]).why, []).append(r["row"])
    if not found:
        return []
    lines = ["", "Rows in which C may differ from itself by more than the others, and why:", ""]
    return lines + [f"- {', '.join(names)}: {why}" for why, names in found.items()]


def parts(rows):
    """One row less another: what the first has that the other has not."""
    above = {r["row"]: (r["c"]["above"], r["rust"]["above"]) for r in rows if "ratio" in r}
    lines = []
    for what, whole, rest in known.PARTS:
        if whole in above and rest in above:
            c, rust = (x - y for x, y in zip(above[whole], above[rest]))
            lines.append(f"| {what} | `{whole}` less `{rest}` | {number(c)} | {number(rust)} | {share(rust / c if c > 0 else None)} |")
    if not lines:
        return []
    return ["", "Parts of requests, as the difference of two rows:", "", "| part | rows | C | here | ratio |", "|---|---|--:|--:|--:|"] + lines


def floors(rows):
    lines = ["", "Without bcache, the whole of it and what is above the raw disk:", "", "| row | per | all | above raw |", "|---|---|--:|--:|"]
    for r in rows:
        if "raw" in r:
            above = number(r["raw"] - r["floor"]) if r["floor"] else "-"
            lines.append(f"| {r['row']} | {r['unit']} | {number(r['raw'])} | {above} |")
    return lines


def others(data):
    lines = ["", "Other figures (us-*: microseconds of the guest's time, one instruction being a nanosecond; again: how far boots and turns",
             "are apart):", "", "| figure | C | again | here | again | ratio |", "|---|--:|--:|--:|--:|--:|"]
    for d in data:
        cells = [number(d.get("c")), f"{d.get('c_spread', 0):.1f} %", number(d.get("rust")), f"{d.get('rust_spread', 0):.1f} %"]
        lines.append(f"| {d['name']} | " + " | ".join(cells) + f" | {share(d.get('ratio'))} |")
    return lines


def targets(rows, data):
    """What is asked for, and whether it is so; rows that no target names shall not be above C."""
    ratios = {r["row"]: r["ratio"] for r in rows + [{"row": d["name"], **d} for d in data] if "ratio" in r}
    named = {n for _, names, _ in known.TARGETS for n in names}
    lines = ["", "| target | at most | measured | |", "|---|--:|---|---|"]
    for what, names, limit in known.TARGETS:
        got = {n: ratios[n] for n in names if n in ratios}
        if got:
            lines.append(target(what, limit, got, "-"))
    above = {n: v for n, v in ratios.items() if n in known.ROWS and n not in named and v > 1}
    lines.append(target("any other row", 1.0, above, "none is above"))
    return lines


def target(what, limit, got, nothing):
    seen = ", ".join(f"{n} {v:.2f}" for n, v in got.items()) or nothing
    return f"| {what} | {limit:.2f} | {seen} | {'reached' if all(v <= limit for v in got.values()) else '**not reached**'} |"


def plot_data(rows):
    """row, ratio above raw, ratio in the driver: one line each."""
    return "".join(f"{r['row']} {r['ratio']:.4f} {r['module_ratio']:.4f}\n" for r in rows if "ratio" in r)
