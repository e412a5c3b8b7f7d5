"""Instructions per inference on emulated Raspberry Pis, edgert beside LiteRT's aarch64 wheel. `make bench-arm` runs it.

    python benchmarks/arm.py [--json benchmarks/arm.json] [--markdown benchmarks/ARM.md] [--only resnet8] [--show 3]

No time is measured: there is no Pi here. Fails if the A76 run of edgert has no dot product or the A72 run has one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from instructions import KIND_NAMES, MCA_CPU, by_kind, by_object, find_llvm, read_blocks, weigh
from record import machine_record

TOP = Path(__file__).resolve().parents[1]
ARM = TOP / "build/arm"
DOWNLOADS = Path(os.environ.get("EDGERT_ARM_CACHE", TOP / ".cache/arm"))
DATA = Path(os.environ.get("EDGERT_DATA", "data"))
PYTHON = "3.11"
RUNS = 5

CORES = {"cortex-a72": "Pi 4", "cortex-a76": "Pi 5"}
RUNTIMES = {"edgert": ARM / f"site-{PYTHON}", "litert": DOWNLOADS / f"peers-{PYTHON}"}
MODELS = {
    "ResNet-8": "models/mlperf_tiny/resnet8_cifar10_int8.tflite",
    "VWW": "models/mlperf_tiny/vww_96_int8.tflite",
    "KWS": "models/mlperf_tiny/kws_int8.tflite",
    "AD": "models/mlperf_tiny/ad01_int8.tflite",
    "MobileNetV2 ptq": "models/coral/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "MoveNet": "models/coral/movenet_single_pose_lightning_ptq.tflite",
    "MobileNetV2 uint8": "models/coral/mobilenet_v2_1.0_224_quant.tflite",
}

HOW = """# Instructions per inference on emulated Pis

There is no Pi behind these figures and no time in them: qemu's user emulation runs edgert's cross-built wheel and
LiteRT's aarch64 wheel as a Cortex-A72 (Pi 4) and a Cortex-A76 (Pi 5), and a plugin (tools/arm/insn_count.c) counts
every instruction executed between two marks around {runs} warm calls, one thread. The same program gives the same
count again. For edgert a call is `run_buffers`: inputs copied in, outputs copied out. For LiteRT it is `invoke()`
alone. Python's own instructions are part of both ({python} of edgert's {model}). `make bench-arm` repeats it all;
benchmarks/arm.json has every count.
"""

PROOF = """
The dot product is where it must be: edgert executes {a76:,} `sdot` per {model} inference on the A76 and {a72:,} on
the A72, which has none.
"""

MCA = """
## Weighed by llvm-mca: an estimate, never a time

The hottest blocks ({covered} of all instructions or more), each as a loop of its own, by the scheduling tables of LLVM
{version} ({tables}). No caches, no branches, no overlap of blocks:
the figures say how two programs compare and nothing else. In millions of estimated cycles:

"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every count here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here, else to stdout")
    parser.add_argument("--only", default="", metavar="WORD", help="models whose file name has this in it")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the N costliest blocks of each run")
    args = parser.parse_args()
    llvm = find_llvm()
    if llvm is None:
        print("llvm-mca is not installed: no estimate of cycles (Debian: apt install llvm-19)", file=sys.stderr)
    record, rows = machine_record(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in MODELS.items():
            if args.only not in path:
                continue
            if not (DATA / path).exists():
                print(f"{name}: skipped, {DATA / path} is missing (EDGERT_DATA names the folder)", file=sys.stderr)
                continue
            rows += measure_model(name, DATA / path, Path(folder), llvm, args.show)
    if not rows:
        raise SystemExit("no model to run")
    prove_dispatch(rows)
    text = markdown(rows, llvm)
    if args.json:
        args.json.write_text(json.dumps({"machine": record, **versions(llvm), "rows": rows}, indent=1) + "\n")
    if args.markdown:
        args.markdown.write_text(text)
    else:
        print(text)


def measure_model(name, source, folder, llvm, show):
    """A row for each runtime and core."""
    model = folder / f"{source.stem}.bin"
    command = [sys.executable, "-m", "edgert", "convert", source, "-o", model]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = []
    for core in CORES:
        for runtime, path in {"edgert": model, "litert": source}.items():
            print(f"{name}, {runtime}, {core}", file=sys.stderr)
            said, blocks = run_counted(runtime, core, path, folder)
            row = {"model": name, "runtime": runtime, "core": core, "tiers": said["tiers"]}
            row["instructions"] = per_inference(by_kind(blocks))
            row["by_file"] = per_inference(by_object(blocks, said["objects"]))
            if llvm:
                cycles, covered, costliest = weigh(blocks, core, llvm)
                row |= {"mca_cycles": round(cycles / RUNS), "mca_covered": round(covered, 4)}
                show_blocks(costliest[:show], cycles)
            rows.append(row)
    return rows


def run_counted(runtime, core, model, folder):
    """(what arm_guest.py printed, the blocks it ran)"""
    plugin, counted = ARM / "libinsn_count.so", folder / "blocks"
    environment = os.environ | {"QEMU_PLUGIN": f"{plugin},out={counted}", "PYTHONPATH": str(RUNTIMES[runtime])}
    emulated, guest = [TOP / "tools/arm/python.sh", core, PYTHON, "-P"], TOP / "benchmarks/arm_guest.py"
    command = [*emulated, guest, runtime, model, str(RUNS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{runtime} on {core}: exit {done.returncode}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout), read_blocks(counted)


def per_inference(counts):
    """Counts of one call, most first; what is less than a thousandth of them is left out."""
    least = sum(counts.values()) / 1000
    kept = sorted([item for item in counts.items() if item[1] > least], key=lambda item: -item[1])
    return {name: round(count / RUNS) for name, count in kept}


def show_blocks(costliest, cycles):
    for cost, lines, runs in costliest:
        print(f"\n{cost / cycles:.1%} of the estimate: {runs / RUNS:g} times {len(lines)} instructions")
        print("\n".join(["    " + line for line in lines]))


def prove_dispatch(rows):
    """Raises: SystemExit if edgert used the dot product where there is none, or not where there is one."""
    for row in rows:
        sdot = row["instructions"].get("sdot", 0)
        if row["runtime"] == "edgert" and (sdot > 0) != (row["core"] == "cortex-a76"):
            raise SystemExit(f"{row['model']}: edgert executed {sdot:,} sdot per inference on {row['core']}")


def markdown(rows, llvm):
    """The whole of ARM.md."""
    found = {(row["model"], row["core"], row["runtime"]): row for row in rows}
    models = list(dict.fromkeys([row["model"] for row in rows]))
    first = {core: found[models[0], core, "edgert"] for core in CORES}
    python = sum(count for name, count in first["cortex-a72"]["by_file"].items() if name.startswith("python"))
    share = python / first["cortex-a72"]["instructions"]["total"]
    text = HOW.format(runs=RUNS, python=f"{share:.1%}", model=models[0])
    sdot = {core[-3:]: row["instructions"].get("sdot", 0) for core, row in first.items()}
    text += PROOF.format(**sdot, model=models[0])
    text += "\n## Instructions, in millions\n\n" + compare(found, models, lambda row: row["instructions"]["total"])
    text += f"\n## {models[0]} by kind, in thousands\n\n" + kinds_table(found, models[0])
    if llvm:
        tables = ", ".join([f"`{cpu}` for the {core[-3:].upper()}" for core, cpu in MCA_CPU.items()])
        covered = min(row["mca_covered"] for row in rows)
        text += MCA.format(covered=f"{covered:.0%}", version=llvm[2], tables=tables)
        text += compare(found, models, lambda row: row["mca_cycles"])
    return text


def compare(found, models, figure):
    """Models by cores: LiteRT, edgert and edgert as a share of LiteRT."""
    columns = ("LiteRT", "edgert", "ratio")
    heads = [f"{core[-3:].upper()} ({board}) {column}" for core, board in CORES.items() for column in columns]
    lines = ["| model | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for model in models:
        cells = []
        for core in CORES:
            peer, ours = (figure(found[model, core, runtime]) for runtime in ("litert", "edgert"))
            cells += [f"{peer / 1e6:.3g}", f"{ours / 1e6:.3g}", f"{ours / peer:.2f}"]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def kinds_table(found, model):
    runs = [(core, runtime) for core in CORES for runtime in ("litert", "edgert")]
    heads = [f"{core[-3:].upper()} {'LiteRT' if runtime == 'litert' else runtime}" for core, runtime in runs]
    lines = ["| kind | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for kind in KIND_NAMES:
        counts = [found[model, core, runtime]["instructions"].get(kind, 0) for core, runtime in runs]
        lines.append(f"| {kind} | " + " | ".join([f"{count / 1e3:,.0f}" for count in counts]) + " |")
    return "\n".join(lines) + "\n"


def versions(llvm):
    """What counted and weighed, and what was compared with."""
    qemu = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True, check=True).stdout
    (peer,) = RUNTIMES["litert"].glob("ai_edge_litert-*.dist-info")
    weighed = llvm[2] if llvm else None
    return {"qemu": qemu.splitlines()[0], "litert": peer.name.split("-")[1], "llvm": weighed, "runs": RUNS}


if __name__ == "__main__":
    main()
