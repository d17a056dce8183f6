"""Fine-tuning of an RWKV-7 of the 0.1B shape by `wkv train`: tokens/s and peak memory of each way.

python tests/benchmark/bench_finetuning.py [--batch 2] [--context 512] [--threads 2] [--precision fp32]
All parameters, LoRA of rank 8, and the states alone, each with and without gradient checkpointing. The weights are random
and the text is too: neither changes the work. Tokens/s is that of the median step; memory is the largest resident size
of the process.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from train_program import new_model, program, random_text

MODEL = {"family": "rwkv7", "layers": 12, "width": 768, "head_size": 64, "vocab": 65536}
WAYS = {
    "all parameters": {},
    "LoRA": {"lora": {"rank": 8, "alpha": 16}},
    "states": {"state_tuning": True},
}
WARM_STEPS = 1


def measure(recipe, threads):
    """-> tokens/s, peak memory in bytes."""
    output = Path(recipe["output"])
    file = output.with_suffix(".json")
    file.write_text(json.dumps(recipe))
    with open(output.with_suffix(".log"), "w+") as log:
        process = subprocess.Popen([program(), "train", file], stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            raise RuntimeError(log.read().strip().splitlines()[-1])
    clock = [json.loads(line)["seconds"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [after - before for before, after in zip(clock[WARM_STEPS - 1 :], clock[WARM_STEPS:])]
    return recipe["batch"] * recipe["context"] / statistics.median(steps), usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--steps", type=int, default=4)
    arguments = parser.parse_args()
    print("| trained | gradient checkpointing | tokens/s | peak memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = new_model(folder / "model", MODEL, dtype="bf16")
        text = random_text(folder / "text.txt", 200_000)
        for way, keys in WAYS.items():
            for checkpointing in (False, True):
                recipe = {
                    "output": str(folder / f"{way} {checkpointing}".replace(" ", "-")),
                    "steps": WARM_STEPS + arguments.steps,
                    "batch": arguments.batch,
                    "context": arguments.context,
                    "precision": arguments.precision,
                    "gradient_checkpointing": checkpointing,
                    "threads": arguments.threads,
                    "model": {"checkpoint": str(model / "model.safetensors")},
                    "data": {"files": [str(text)], "tokenizer": "bytes", "held_out": 0},
                    "log_every": 1,
                    "checkpoint_every": 0,
                    **keys,
                }
                speed, peak = measure(recipe, arguments.threads)
                print(f"| {way} | {'yes' if checkpointing else 'no'} | {speed:,.0f} | {peak / 1e9:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
