# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of a row are, by function."""

import bisect
import subprocess


def demangle(names):
    got = subprocess.run(["llvm-cxxfilt-19"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, got.stdout.splitlines()))


def by_function(blocks, symbols):
    starts = [s[0] for s in symbols]
    sums = {}
    for address, count in blocks.items():
        i = bisect.bisect_right(starts, address) - 1
        key = (symbols[i][2], symbols[i][1]) if i >= 0 else ("?", hex(address))
        sums[key] = sums.get(key, 0) + count
    return sums


def profile(row, unit, boot):
    """Instructions by function, the last turn of each driver; of a row without a driver, that one."""
    text = []
    for driver in ("raw", "c", "rust"):
        turn = max((t for (n, t) in boot.blocks if n == row and boot.driver(t) == driver), default=None)
        if turn is None:
            continue
        units, blocks = boot.blocks[row, turn]
        own = boot.said.symbols[turn]
        base = [s for s in boot.said.symbols[0] if s[2] != "bcache"]
        symbols = sorted(s for s in (base + own if turn else base) if s[3] in "tTwW")
        sums = by_function(blocks, symbols)
        names = demangle([n for _, n in sums])
        total = sum(sums.values())
        text.append(f"{row}, {driver}: {total / units:,.0f} instructions per {unit} below user space, by function")
        for (where, name), count in sorted(sums.items(), key=lambda kv: -kv[1]):
            if count * 2000 < total:
                break
            text.append(f"{count / units:>10,.1f} {count * 100 / total:>6.2f}%  {where:<12} {names[name]}")
        text.append("")
    return "\n".join(text)
