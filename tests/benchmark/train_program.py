"""Runs the program `wkv` that belongs to this Python's package: trained, converted and freshly made models."""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program():
    beside = Path(sys.executable).with_name("wkv")
    return str(beside if beside.exists() else ROOT / "build/bin/wkv")


def call(*arguments, threads=1):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([program(), *map(str, arguments)], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"wkv {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def train(recipe: dict, *overrides, threads=1) -> Path:
    """-> recipe["output"]; where that has a finished model nothing is done, and a run that was killed goes on."""
    output = Path(recipe["output"])
    if not (output / "card.json").exists():
        output.mkdir(parents=True, exist_ok=True)
        file = output / "as_started.json"
        file.write_text(json.dumps(recipe | {"threads": threads}))
        call("train", file, *overrides, threads=threads)
    return output


def card(folder: Path):
    return json.loads((folder / "card.json").read_text())


def random_text(path: Path, letters: int) -> Path:
    """For models whose training says nothing: their initial values, or their speed, are what is wanted."""
    choice = random.Random(0).choice
    path.write_text("".join(choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(letters)))
    return path


def new_model(folder: Path, model: dict, seed=1, dtype="fp32") -> Path:
    """A model with its family's initial values, made by one step of a rate that changes nothing. Several processes may
    make the same one."""
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        text, made = random_text(Path(scratch, "text.txt"), 4096), Path(scratch, "model")
        recipe = {
            "output": str(made),
            "seed": seed,
            "steps": 1,
            "batch": 1,
            "context": 32,
            "model": model,
            "data": {"files": [str(text)], "tokenizer": "bytes"},
            "optimizer": {"learning_rate": 1e-30, "final_learning_rate": 1e-30, "weight_decay": 0},
            "export_dtype": dtype,
        }
        train(recipe)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    return folder
