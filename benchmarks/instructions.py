"""What tools/arm/insn_count.c wrote: instructions by kind and by file, and a weight in cycles from llvm-mca."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache

# Name, mask, value; the first that fits counts. Encodings: Arm Architecture Reference Manual, C4.1 and C7.2.
KINDS = (
    ("sdot", 0xBFE0FC00, 0x0E809400),  # by vector
    ("sdot", 0xBFC0F400, 0x0F80E000),  # by element
    ("smull/smlal", 0xBF20BC00, 0x0E208000),
    ("smull/smlal", 0xBF007400, 0x0F002000),  # by element
    ("sadalp", 0xBF3FFC00, 0x0E206800),
    ("saddw", 0xBF20FC00, 0x0E201000),
    ("vector load", 0x0E400000, 0x0C400000),
    ("vector store", 0x0E400000, 0x0C000000),
    ("load", 0x0E400000, 0x08400000),
    ("load", 0x3AC00000, 0x38800000),  # sign-extending
    ("load", 0x3F000000, 0x18000000),  # literal
    ("store", 0x0E400000, 0x08000000),
    ("branch", 0x1C000000, 0x14000000),
    ("other vector", 0x0E000000, 0x0E000000),
    ("integer", 0, 0),
)
KIND_NAMES = tuple(dict.fromkeys([name for name, _, _ in KINDS]))

# llvm-mca knows Cortex-A72 and A76 only by the table of A57; that of Neoverse N1, whose core is the A76's, is nearer.
MCA_CPU = {"cortex-a72": "cortex-a72", "cortex-a76": "neoverse-n1"}
MCA_ATTRIBUTES = "-mattr=+v8.2a,+dotprod,+fullfp16"
MCA_ITERATIONS = 100
MCA_COVERED = 0.98  # of the instructions; the rest is thousands of blocks that ran once


def read_blocks(path):
    """Lines of insn_count.c as {(address, instruction words): times run}."""
    blocks = {}
    for line in path.read_text().splitlines():
        address, runs, *words = line.split()
        key = int(address, 16), tuple([int(word, 16) for word in words])
        blocks[key] = blocks.get(key, 0) + int(runs)
    return blocks


@cache
def kind_of(word):
    """The kind of one A64 instruction word."""
    return next(name for name, mask, value in KINDS if word & mask == value)


def by_kind(blocks):
    """Instructions executed of each kind, and "total"."""
    counts = dict.fromkeys(("total", *KIND_NAMES), 0)
    for (_, words), runs in blocks.items():
        counts["total"] += runs * len(words)
        for word in words:
            counts[kind_of(word)] += runs
    return counts


def by_object(blocks, objects):
    """Instructions executed in each file. objects: {name: (first, last address)}."""
    counts = {}
    for (address, words), runs in blocks.items():
        name = next((name for name, (first, last) in objects.items() if first <= address < last), "other")
        counts[name] = counts.get(name, 0) + runs * len(words)
    return counts


def find_llvm():
    """(llvm-mca, llvm-mc, version), the newest there is; None where there is none."""
    for suffix in [*[f"-{version}" for version in range(30, 13, -1)], ""]:
        tools = shutil.which(f"llvm-mca{suffix}"), shutil.which(f"llvm-mc{suffix}")
        if all(tools):
            said = subprocess.run([tools[0], "--version"], capture_output=True, text=True, check=True).stdout
            return *tools, re.search(r"LLVM version (\S+)", said).group(1)
    return None


def weigh(blocks, core, llvm):
    """The hottest blocks by llvm-mca: estimated cycles, the share of the instructions weighed, the costliest blocks.

    Each block is taken as a loop of its own: neither caches nor branches nor the overlap of blocks are modelled.
    """
    total = sum(runs * len(words) for (_, words), runs in blocks.items())
    hottest = sorted(blocks.items(), key=lambda item: -item[1] * len(item[0][1]))
    chosen, covered = [], 0
    for (_, words), runs in hottest:
        if covered >= MCA_COVERED * total:
            break
        covered += runs * len(words)
        chosen.append((words, runs))
    with ThreadPoolExecutor(2) as pool:
        costs = list(pool.map(lambda item: block_cycles(item[0], MCA_CPU[core], llvm), chosen))
    known = [(cycles * runs, text, runs) for (_, runs), (cycles, text) in zip(chosen, costs) if cycles]
    weighed = sum(len(words) * runs for (words, runs), (cycles, _) in zip(chosen, costs) if cycles)
    return sum(cycles for cycles, _, _ in known), weighed / total, sorted(known, reverse=True)


def block_cycles(words, cpu, llvm):
    """(llvm-mca's cycles per execution, or 0 where it does not know an instruction; the assembly text)"""
    mca, mc, _ = llvm
    code = " ".join([f"0x{byte:02x}" for word in words for byte in word.to_bytes(4, "little")])
    text = answer([mc, "--disassemble", "-triple=aarch64-linux-gnu", MCA_ATTRIBUTES], code)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(".")]
    if len(lines) != len(words):
        return 0, lines
    # Disassembled, the target of a branch is a bare number, which llvm-mca would not take.
    named = [re.sub(r"^((?:b|bl|b\.\w+|cbn?z|tbn?z)\s.*)#-?\d+$", r"\1here", line) for line in lines]
    options = ["-mtriple=aarch64-linux-gnu", f"-mcpu={cpu}", MCA_ATTRIBUTES, f"-iterations={MCA_ITERATIONS}"]
    said = answer([mca, *options, "-all-views=false", "-summary-view"], "here:\n" + "\n".join(named) + "\n")
    found = re.search(r"Total Cycles:\s+(\d+)", said)
    return int(found.group(1)) / MCA_ITERATIONS if found else 0, lines


def answer(command, text):
    """What a program says to a text."""
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout
