"""The runs that make the zoo's own language models: which there are, in which order, and what each finished one gave.

First every learning rate with a quarter of the tokens, then the best one with all of them from three seeds. Finished runs are lines
of a results file (experiments/runs.py); whatever is killed, they stay, and `wkv train` goes on from its checkpoint.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.runs import ResultsFile, conditions

RECIPES = Path(__file__).resolve().parents[2] / "examples/train"
FAMILIES = ["rwkv4", "rwkv5", "rwkv6", "rwkv7", "rrwkv", "based", "transformer", "multi_temporal_rwkv"]
TUNES = {"multi_temporal_rwkv": "rwkv4"}  # a family that starts from a finished model of another
LEARNING_RATES = [1e-3, 2e-3, 4e-3]
LEARNING_RATES_OF = {"multi_temporal_rwkv": [1e-4, 3e-4, 1e-3]}
SEEDS = [1, 2, 3]
FINAL_PART = 1 / 40  # of the learning rate, at the end
SCREENING_PART = 4  # a learning rate is tried with the tokens divided by this
# Of the card that `wkv train` writes.
KEPT = ["parameters", "steps", "training_tokens", "final_loss", "seconds", "held_out_bytes", "held_out_bits_per_byte"]
POLL_SECONDS = 0.2


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


def by_run(lines):
    """Run -> its line of results.jsonl."""
    return {Run(**line["config"]): line for line in lines}


def start_of(folder):
    """The weights that a run starts from; not beside model.safetensors, so that the folder opens as that."""
    return folder / "start/model.safetensors"


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
        changes["model.checkpoint"] = start_of(folder)
    return [f"{key}={value}" for key, value in changes.items()]


class Training:
    """One run's process; what it says goes to FOLDER/log.txt."""

    def __init__(self, run, program, folder, text, base):
        self.run, self.folder = run, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "log.txt", "a")
        path = RECIPES / f"kjv_{run.family}.json"
        if base is not None and not (start := start_of(folder)).exists():
            start.parent.mkdir(exist_ok=True)
            command = [program, "convert", base / "model.safetensors", start, "--dtype", "fp32"]
            command += ["--to", "multi-temporal", "--perspectives", "4", "--mix-noise", "0.01"]
            subprocess.run(command, check=True, stdout=self.log, stderr=self.log)
        command = [program, "train", path, *arguments_of(run, json.loads(path.read_text()), folder, text)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)

    def line(self):
        """The result of a run that ended well; None else."""
        file = self.folder / "card.json"
        if self.process.returncode != 0 or not file.exists():
            return None
        card = json.loads(file.read_text())
        result = {key: card[key] for key in KEPT}
        result["tokens"] = card["steps"] * card["recipe"]["batch"] * card["recipe"]["context"]
        return {"config": asdict(self.run), "result": result, "conditions": {**conditions(), "threads": 1}}


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def do_runs(families, folder: Path, text: Path, program, workers, results_file: Path):
    """Does every run that is not finished and that no other process is at, `workers` at a time. Returns those that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    results, active, failed = ResultsFile(results_file), [], []

    def fail(run):
        failed.append(run)
        say(f"{run.name} failed: {folder / run.name / 'log.txt'}")

    try:
        while True:
            finished = by_run(results.lines())
            busy = [*failed, *(training.run for training in active)]
            for run in [run for run in ready_runs(families, finished) if run not in busy]:
                if len(active) == workers:
                    break
                # Another process may be at it, or have finished it just now.
                if not results.claim(asdict(run)) or run in by_run(results.lines()):
                    continue
                say(run.name)
                base = base_of(run, finished)
                try:
                    active.append(Training(run, program, folder / run.name, text, base and folder / base.name))
                except subprocess.CalledProcessError:
                    fail(run)
            if not active and by_run(results.lines()).keys() == finished.keys():
                return failed
            time.sleep(POLL_SECONDS)
            for training in [training for training in active if training.process.poll() is not None]:
                active.remove(training)
                if (line := training.line()) is None:
                    fail(training.run)
                else:
                    results.append(line)
                    say(f"{training.run.name}: {line['result']['held_out_bits_per_byte']:.4f} bits per byte")
    finally:
        for training in active:  # interrupted: each writes a checkpoint and ends
            training.process.terminate()
        for training in active:
            training.process.wait()
