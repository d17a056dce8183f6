"""The runs that make the zoo's own language models: which there are, in which order, and what each finished one gave.

First every learning rate with a quarter of the tokens, then the best one with all of them from three seeds. A finished run is a
JSON line {"config", "result", "conditions"}; whatever is killed, finished lines stay and `wkv train` goes on from its checkpoint.
"""

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

RECIPES = Path(__file__).resolve().parents[2] / "examples/train"
FAMILIES = ["rwkv4", "rwkv5", "rwkv6", "rwkv7", "rrwkv", "based", "transformer", "multi_temporal_rwkv"]
TUNES = {"multi_temporal_rwkv": "rwkv4"}  # a family that starts from a finished model of another
LEARNING_RATES = [1e-3, 2e-3, 4e-3]
LEARNING_RATES_OF = {"multi_temporal_rwkv": [1e-4, 3e-4, 1e-3]}
SEEDS = [1, 2, 3]
FINAL_PART = 1 / 40  # of the learning rate, at the end
SCREENING_PART = 4  # a learning rate is tried with the tokens divided by this


@dataclass(frozen=True)
class Run:
    stage: str  # learning-rate, full
    family: str
    learning_rate: float
    seed: int

    @property
    def name(self):
        return f"{self.stage}-{self.family}-{self.learning_rate:g}-{self.seed}"


def learning_rates(family):
    return LEARNING_RATES_OF.get(family, LEARNING_RATES)


def bits_per_byte(finished, run):
    return finished[run]["result"]["held_out_bits_per_byte"]


def best_learning_rate(family, finished):
    """Of those that were tried; None until all have been."""
    runs = [Run("learning-rate", family, rate, 1) for rate in learning_rates(family)]
    if not all(run in finished for run in runs):
        return None
    return min(runs, key=lambda run: bits_per_byte(finished, run)).learning_rate


def full_run(family, seed, finished):
    rate = best_learning_rate(family, finished)
    return None if rate is None else Run("full", family, rate, seed)


def base_of(run, finished):
    """The run whose model this one starts from; None for a new model."""
    return full_run(TUNES[run.family], run.seed, finished) if run.family in TUNES else None


def ready_runs(families, finished):
    """All that can be done now and hasn't been, the most wanted first."""
    runs = [Run("learning-rate", family, rate, 1) for family in families for rate in learning_rates(family)]
    runs += filter(None, (full_run(family, seed, finished) for seed in SEEDS for family in families))
    return [
        run for run in runs if run not in finished and (run.family not in TUNES or base_of(run, finished) in finished)
    ]


class Results:
    """The file of finished runs, held by one process at a time."""

    def __init__(self, path: Path):
        self.file = open(path, "a+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"{path}: another process is at these runs") from None
        self.finished = read_results(path)
        self.file.truncate(sum(len(line) for line in whole_lines(path)))  # what a killed process left of its line

    def add(self, run, recipe, result):
        line = {"config": {**asdict(run), "recipe": recipe}, "result": result, "conditions": conditions()}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.finished[run] = line


def whole_lines(path):
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] if path.exists() else []


def read_results(path):
    """Run -> its line; a last line that was cut off is none."""
    finished = {}
    for line in map(json.loads, whole_lines(path)):
        finished[Run(**{key: value for key, value in line["config"].items() if key != "recipe"})] = line
    return finished


def conditions():
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {"cpu": cpu.split(":", 1)[-1].strip() or platform.machine(), "cores": os.cpu_count(), "threads": 1}


def arguments_of(run, recipe, folder, text):
    """What the run's recipe differs by from the family's."""
    parts = SCREENING_PART if run.stage == "learning-rate" else 1
    changes = {
        "output": folder,
        "seed": run.seed,
        "steps": recipe["steps"] // parts,
        "threads": 1,
        "data.files": text,
        "optimizer.learning_rate": run.learning_rate,
        "optimizer.final_learning_rate": run.learning_rate * FINAL_PART,
        "optimizer.warmup": recipe["optimizer"]["warmup"] // parts,
    }
    if run.family in TUNES:
        changes["model.checkpoint"] = folder / "start.safetensors"
    return [f"{key}={value}" for key, value in changes.items()]


class Training:
    """One run's process; what it says goes to FOLDER/log.txt."""

    def __init__(self, run, program, folder, text, base):
        self.run, self.folder = run, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "log.txt", "a")
        path = RECIPES / f"kjv_{run.family}.json"
        if base is not None and not (folder / "start.safetensors").exists():
            command = [program, "convert", base / "model.safetensors", folder / "start.safetensors", "--dtype", "fp32"]
            command += ["--to", "multi-temporal", "--perspectives", "4", "--mix-noise", "0.01"]
            subprocess.run(command, check=True, stdout=self.log, stderr=self.log)
        command = [program, "train", path, *arguments_of(run, json.loads(path.read_text()), folder, text)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)

    def result(self):
        """(recipe, result) of a run that ended well; None else."""
        card_file = self.folder / "card.json"
        if self.process.returncode != 0 or not card_file.exists():
            return None
        card = json.loads(card_file.read_text())
        keys = ["parameters", "steps", "training_tokens", "final_loss", "seconds", "held_out_bytes", "held_out_bits_per_byte"]
        recipe = card["recipe"]
        tokens = card["steps"] * recipe["batch"] * recipe["context"]
        return recipe, {**{key: card[key] for key in keys}, "tokens": tokens}


def do_runs(families, folder: Path, text: Path, program, workers):
    """Does every run that is not finished, `workers` at a time. Returns those that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder / "results.jsonl")
    active, failed = [], []
    try:
        while True:
            busy = failed + [training.run for training in active]
            ready = [run for run in ready_runs(families, results.finished) if run not in busy]
            while ready and len(active) < workers:
                run = ready.pop(0)
                base = base_of(run, results.finished)
                active.append(Training(run, program, folder / run.name, text, base and folder / base.name))
                print(f"{time.strftime('%H:%M:%S')} {run.name}", file=sys.stderr, flush=True)
            if not active:
                return failed
            time.sleep(0.2)
            for training in [training for training in active if training.process.poll() is not None]:
                active.remove(training)
                if (found := training.result()) is None:
                    failed.append(training.run)
                    print(f"{training.run.name} failed: {training.folder / 'log.txt'}", file=sys.stderr, flush=True)
                else:
                    results.add(training.run, *found)
                    print(f"{training.run.name}: {found[1]['held_out_bits_per_byte']:.4f} bits per byte", file=sys.stderr, flush=True)
    finally:
        for training in active:  # interrupted: each writes a checkpoint and ends
            training.process.terminate()
        for training in active:
            training.process.wait()
