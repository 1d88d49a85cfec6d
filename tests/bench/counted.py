# SPDX-License-Identifier: GPL-2.0
"""What a boot left: the counts of QEMU's plugin, and what the guest said about them."""

import bisect
import os


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
        self.rows, self.modules, self.symbols, self.data, self.did = [], {}, {}, [], []
        with open(path, errors="replace") as f:
            lines = iter(f)
            for line in lines:
                words = line.split()
                if not words:
                    continue
                if words[0] == "row":
                    self.rows.append((int(words[1]), words[2], int(words[3])))
                elif words[0] == "data":
                    self.data.append((int(words[1]), words[2], float(words[3])))
                elif words[0] == "did":
                    self.did.append((int(words[1]), words[2], [int(w) for w in words[3:7]], words[7]))
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
    """(address, name, module, type) of a line of /proc/kallsyms."""
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


class Boot:
    """A boot: each row as it was measured in each turn, and the blocks behind it."""

    def __init__(self, folder, turns):
        self.turns = turns
        self.said = Said(os.path.join(folder, "said"))
        self.rows, self.blocks = {}, {}
        found = list(brackets(os.path.join(folder, "counts")))
        if len(found) != len(self.said.rows):
            raise SystemExit(f"bench: {len(found)} brackets were counted for {len(self.said.rows)} rows")
        for (turn, name, units), (user, blocks) in zip(self.said.rows, found):
            self.rows.setdefault(name, []).append(self.figures(turn, units, user, blocks))
            self.blocks[name, turn] = units, blocks

    def driver(self, turn):
        return "raw" if turn == 0 else self.turns[turn - 1]

    def figures(self, turn, units, user, blocks):
        sums = split(blocks, self.said.modules.get(turn, []))
        driver = sums.pop("bcache", 0)
        return {
            "turn": turn,
            "driver": self.driver(turn),
            "units": units,
            "user": user / units,
            "module": driver / units,
            "kernel": sum(sums.values()) / units,
        }

    def did(self):
        """{row: [(driver, [hits, misses, hits and misses past the cache], dirty data)]}, an entry for each turn."""
        found = {}
        for turn, name, counts, dirty in self.said.did:
            found.setdefault(name, []).append((self.driver(turn), counts, dirty))
        return found

    def data(self):
        """name: {driver: values} of what was said beside the rows."""
        found = {}
        for turn, name, value in self.said.data:
            found.setdefault(name, {}).setdefault(self.driver(turn), []).append(value)
        return found
