"""VRWKV-T beside DeiT-T with naive, fused and windowed attention on the CPU: images/s and peak memory by resolution.

python tests/benchmark/bench_vision.py [--markdown] [--plot docs/vision_speed.svg] [--compile] [--pixels 224 512 ...]
Models have random weights (deit.py; VRWKV-T from a file under the published names) and run without gradients, in turns
(benchlib.py). Memory is the growth of a process of its own over one image, from loaded model to the highest point.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import benchlib
import torch
from deit import ATTENTION, HEADS, PATCH, deit
from random_checkpoints import random_checkpoint
from svg_plot import Panel, write_svg

import wkv

# Images at once, and rounds, by their side.
BATCHES = {224: 8, 512: 4, 1024: 1, 2048: 1}
ROUNDS = {224: 11, 512: 7, 1024: 5, 2048: 3}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NAMES = {
    "vrwkv": "VRWKV-T",
    "windows": "DeiT-T, windows",
    "fused": "DeiT-T, fused",
    "naive": "DeiT-T, naive",
    "compiled": "DeiT-T, fused and compiled",
}
MOST_SCORES = 1 << 30  # bytes of one layer's attention scores: naive attention is left out where it has more


def build(model, dtype, checkpoint):
    if model == "vrwkv":
        return wkv.load(checkpoint, dtype=dtype)
    if model == "compiled":
        return torch.compile(deit("fused", dtype))
    return deit(model, dtype)


def score_bytes(pixels, batch, dtype):
    return batch * HEADS * (pixels // PATCH) ** 4 * dtype.itemsize


def models_for(pixels, batch, dtype):
    models = ["vrwkv", *ATTENTION]
    if score_bytes(pixels, batch, dtype) > MOST_SCORES:
        models.remove("naive")
    return models


def images(pixels, batch, dtype):
    return torch.randn(batch, 3, pixels, pixels, generator=torch.Generator().manual_seed(0)).to(dtype)


def measure_speed(pixels, dtype, checkpoint, compiled):
    """model -> (images/s, times VRWKV-T's time, disturbed)"""
    batch = BATCHES.get(pixels, 1)
    x = images(pixels, batch, dtype)
    names = models_for(pixels, batch, dtype) + (["compiled"] if compiled else [])
    models = {name: build(name, dtype, checkpoint) for name in names}
    cases = {name: lambda model=model: model(x) for name, model in models.items()}
    threads = torch.get_num_threads()
    rounds = ROUNDS.get(pixels, 5)
    results = benchlib.measure(cases, rounds, threads, warmup=1 if rounds > 3 else 0)
    ours = results["vrwkv"]["wall"]
    return {
        name: (
            batch / statistics.median(result["wall"]),
            statistics.median(theirs / own for theirs, own in zip(result["wall"], ours)),
            result["busy"] < 0.8,
        )
        for name, result in results.items()
    }


def resident(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def print_own_memory(model, pixels, dtype, checkpoint):
    """MiB by which this process grows over one image; what a first call of any size leaves is not counted."""
    network = build(model, dtype, checkpoint)
    network(images(224, 1, dtype))
    x = images(pixels, 1, dtype)
    Path("/proc/self/clear_refs").write_text("5")  # the highest point is counted from here
    before = resident("VmRSS")
    network(x)
    print(resident("VmHWM") - before)


def measure_memory(model, pixels, dtype_name, checkpoint):
    command = [sys.executable, __file__, "--memory-of", model, str(pixels), dtype_name, str(checkpoint)]
    # Above this size memory goes back to the system when it is freed, so that nothing remains of the first call.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def speed_table(speeds, order):
    def cell(found, model):
        if model not in found:
            return ""
        rate, ratio, disturbed = found[model]
        text = f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"
        return text + ("" if model == "vrwkv" else f" ({ratio:.2f}x)") + (" (disturbed)" if disturbed else "")

    rows = [
        [f"{pixels}", dtype, f"{BATCHES.get(pixels, 1)}", *(cell(found, model) for model in order)]
        for (pixels, dtype), found in speeds.items()
    ]
    return markdown_table(["pixels", "dtype", "batch", *(NAMES[model] for model in order)], rows)


def memory_table(memories, order):
    rows = [
        [f"{pixels}", dtype, *(f"{found[model]:.0f}" if model in found else "" for model in order)]
        for (pixels, dtype), found in memories.items()
    ]
    return markdown_table(["pixels", "dtype", *(NAMES[model] for model in order)], rows)


def plot(path, speeds, memories):
    def panel(title, unit, results, value):
        lines = {
            (NAMES[model], dtype): [(p, value(found[model])) for (p, d), found in results.items() if d == dtype and model in found]
            for model in NAMES
            for dtype in DTYPES
        }
        return Panel(title, unit, {name: points for name, points in lines.items() if len(points) > 1})

    write_svg(
        path,
        [
            panel("Speed", "images/s", speeds, lambda found: found[0]),
            panel("Peak memory of one image", "MiB", memories, lambda found: found),
        ],
        x_title="side of the image, pixels",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--compile", action="store_true", help="also DeiT-T by torch.compile, at 224 pixels")
    parser.add_argument("--markdown", action="store_true", help="only the tables")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--memory-of", nargs=4, metavar=("MODEL", "PIXELS", "DTYPE", "CHECKPOINT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    if options.memory_of:
        model, pixels, dtype, checkpoint = options.memory_of
        return print_own_memory(model, int(pixels), DTYPES[dtype], checkpoint)

    def progress(text):
        if not options.markdown:
            print(text, file=sys.stderr, flush=True)

    speeds, memories = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_checkpoint("vrwkv-t", Path(folder))
        for pixels in options.pixels:
            for name in options.dtypes:
                dtype = DTYPES[name]
                progress(f"{pixels} pixels, {name}")
                compiled = options.compile and pixels == 224
                speeds[pixels, name] = measure_speed(pixels, dtype, checkpoint, compiled)
                memories[pixels, name] = {
                    model: measure_memory(model, pixels, name, checkpoint) for model in models_for(pixels, 1, dtype)
                }
    order = [model for model in NAMES if any(model in found for found in speeds.values())]
    print(f"Images/s, {torch.get_num_threads()} threads, PyTorch {torch.__version__}; (times VRWKV-T's time)\n")
    print(speed_table(speeds, order))
    print("\nPeak memory of one image beside the model, MiB\n")
    print(memory_table(memories, [model for model in order if model != "compiled"]))
    if options.plot:
        plot(options.plot, speeds, memories)


if __name__ == "__main__":
    main()
