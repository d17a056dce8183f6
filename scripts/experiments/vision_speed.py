"""VRWKV's time and memory against attention, up to 2048 x 2048 pixels, by tests/benchmark/bench_vision.py."""

import os
import subprocess
import sys

from train_program import ROOT


def run(arguments):
    """Prints its tables; the plot goes to docs/vision_speed.svg."""
    command = [sys.executable, str(ROOT / "tests/benchmark/bench_vision.py")]
    command += (
        ["--pixels", "224", "--dtypes", "fp32"]
        if arguments.quick
        else ["--compile", "--plot", str(ROOT / "docs/vision_speed.svg")]
    )
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)})
