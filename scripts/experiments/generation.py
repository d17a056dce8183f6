"""Generation by the length of what has been read: tokens/s and memory, of states of constant size and of a KV cache.

All families have the same layers and width and the initial values of a new model: speed does not depend on the values.
Arithmetic is fp32, which is fast on every processor; bf16 is not, and would make attention's cache look slower than it is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from svg_plot import Panel
from train_program import new_model

from experiments.runs import digest_of
from experiments.tables import conditions_line, markdown_table

NAMES = {
    "transformer": "attention",
    "based": "BASED",
    "rwkv4": "RWKV-4",
    "rwkv5": "RWKV-5",
    "rwkv6": "RWKV-6",
    "rwkv7": "RWKV-7",
    "rrwkv": "RRWKV",
}
SHAPE = {"layers": 12, "width": 768, "head_size": 64}
LENGTHS = [1 << 10, 1 << 12, 1 << 14, 1 << 15, 1 << 16]
X_TITLE = "tokens that have been read"  # of the plot
DECODED = 32  # tokens at each length
WORKER = Path(__file__).with_name("generation_worker.py")


def configs(quick):
    shape = {"layers": 3, "width": 64, "head_size": 32} if quick else SHAPE
    return [
        {"family": family, **shape, "dtype": "float32", "lengths": [64, 128] if quick else LENGTHS, "decoded": DECODED}
        for family in NAMES
    ]


def measure(config, settings):
    sizes = {name: config[name] for name in ("family", "layers", "width", "head_size")}
    folder = new_model(settings.scratch / f"generation-{digest_of(sizes)}", sizes)
    command = [sys.executable, WORKER, folder, config["dtype"], settings.threads, config["decoded"], *config["lengths"]]
    # Above this size memory goes back to the system when it is freed.
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads), "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([*map(str, command)], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return {"lengths": json.loads(done.stdout)}


def table(lines, key, digits):
    lengths = lines[0]["config"]["lengths"]
    rows = [
        [NAMES[line["config"]["family"]], *(f"{found[key]:,.{digits}f}" for found in line["result"]["lengths"])]
        for line in lines
    ]
    return markdown_table(["", *(f"{length:,}" for length in lengths)], rows)


def report(lines, quick=False):
    if not lines:
        return "Not run yet."
    shape = lines[0]["config"]
    lines = sorted(lines, key=lambda line: list(NAMES).index(line["config"]["family"]))
    return "\n\n".join(
        [
            f"{shape['layers']} layers, width {shape['width']}, {shape['dtype']}, one sequence; by the tokens that have been read.",
            "Decoding, tokens/s:",
            table(lines, "decode_tokens_per_second", 1),
            "Reading, tokens/s of the part since the length before:",
            table(lines, "prompt_tokens_per_second", 0),
            "The state or cache, MiB:",
            table(lines, "state_mib", 2),
            "Highest memory beside the model, MiB:",
            table(lines, "memory_mib", 0),
            conditions_line(lines),
        ]
    )


def panels(lines):
    def panel(title, unit, key):
        points = {
            (NAMES[line["config"]["family"]], ""): [
                (found["length"], found[key]) for found in line["result"]["lengths"]
            ]
            for line in lines
        }
        return Panel(title, unit, points)

    if not lines:
        return []
    return [panel("Decoding", "tokens/s", "decode_tokens_per_second"), panel("State or cache", "MiB", "state_mib")]
