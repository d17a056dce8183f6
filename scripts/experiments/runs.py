"""Runs of an experiment and their results: one JSON line {"config", "result", "conditions"} for each finished run.

Whatever is killed, what is finished stays: a call does the runs that the file does not have yet. Several processes, of
one call or of several on the same file, share the work; the lock of a run goes with the process that holds it.
"""

import fcntl
import hashlib
import json
import multiprocessing
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

APPENDING = 1 << 62  # the byte of the file that is locked while a line is appended; smaller ones stand for runs


def key_of(config):
    return json.dumps(config, sort_keys=True)


def digest_of(config):
    """For the name of a folder that belongs to this configuration alone."""
    return hashlib.sha256(key_of(config).encode()).hexdigest()[:12]


def read_results(path: Path):
    """The finished runs of a file, in its order; a last line that was cut off is none."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    results = []
    for number, line in enumerate(lines, 1):
        try:
            results.append(json.loads(line))
        except ValueError:
            raise ValueError(f"{path}:{number}: expected a JSON object, got {line[:60]!r}") from None
    return results


class ResultsFile:
    """One process's hold on a results file: its only handle, since POSIX locks go when any handle is closed."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "a+b", buffering=0)

    def lines(self):
        self.file.seek(0)
        return [json.loads(line) for line in self.file.read().split(b"\n")[:-1]]

    def finished(self):
        return {key_of(line["config"]) for line in self.lines()}

    def claim(self, config):
        """False where another process is at this run."""
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(digest_of(config), 16))
        except BlockingIOError:
            return False
        return True

    def append(self, line):
        fcntl.lockf(self.file, fcntl.LOCK_EX, 1, APPENDING)
        try:
            self.file.seek(0)
            whole = self.file.read().rfind(b"\n") + 1
            self.file.truncate(whole)  # what a killed process left of its line
            self.file.write(json.dumps(line).encode() + b"\n")
            os.fsync(self.file)
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, 1, APPENDING)


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def conditions(device="cpu"):
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **({"device": torch.cuda.get_device_name(device)} if device != "cpu" else {}),
    }


@dataclass(frozen=True)
class Settings:
    """How the runs of a call are done."""

    results: Path
    scratch: Path  # a folder for models
    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    options: dict = None  # of the experiment


def work(measure, configs, settings: Settings):
    """Does the runs that nobody has done or is at, in their order."""
    torch.set_num_threads(settings.threads)
    results = ResultsFile(settings.results)
    for number, config in enumerate(configs, 1):
        if key_of(config) in results.finished() or not results.claim(config) or key_of(config) in results.finished():
            continue
        start = time.perf_counter()
        result = measure(config, settings)
        results.append({"config": config, "result": result, "conditions": conditions(settings.device)})
        print(
            f"[{number}/{len(configs)}] {time.perf_counter() - start:.0f} s {config} -> {result}",
            file=sys.stderr,
            flush=True,
        )


def do_missing_runs(measure, configs, settings: Settings):
    """measure(config, settings) -> result, for every config without a result, in settings.workers processes."""
    if settings.workers == 1:
        return work(measure, configs, settings)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(measure, configs, settings)) for _ in range(settings.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise RuntimeError(f"{len(failed)} of {settings.workers} workers failed")
