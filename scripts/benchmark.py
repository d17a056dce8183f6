#!/usr/bin/env python3
"""Language models on the CPU: `wkv` and what else runs them, in turns, on the same random checkpoints.

benchmark.py [--models rwkv7-0.1B,rwkv7-0.4B,rwkv4-0.1B] [--dtypes fp32,bf16,int8,int4] [--threads 2] [--json results.json]

Peers are the packages `rwkv`, `llama-cpp-python` (with `gguf`) and `transformers`, where this Python has them; build llama.cpp
for this machine: CMAKE_ARGS=-DGGML_NATIVE=ON pip install llama-cpp-python. Every engine is a process of its own. Before
anything is timed their logits must agree. Then each round asks every engine, in a new random order, to decode and to read a
prompt, and measures how fast the memory can be read. A ratio is the median of the rounds' ratios.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/benchmark"))

import language_model_peers as peers  # noqa: E402
from benchmark_worker import Worker, WorkerFailed  # noqa: E402
from gguf_files import gguf_file  # noqa: E402
from random_checkpoints import SHAPES, random_checkpoint, weights_read_for_a_token  # noqa: E402
from read_bandwidth import ReadBandwidth  # noqa: E402

BITS = {"fp32": 32, "bf16": 16, "int8": 8, "int4": 4}
# The format in which a peer keeps as many bits a weight.
PEER_FORMATS = {
    "rwkv": {"fp32": "fp32", "bf16": "bf16"},
    "llama.cpp": {"fp32": "f32", "bf16": "bf16", "int8": "q8_0", "int4": "q4_0"},
    "transformers": {"fp32": "fp32", "bf16": "bf16"},
}
VERSIONS = {"rwkv": (4, 7), "llama.cpp": (7,), "transformers": (4,)}  # of RWKV, that a peer runs
# How far logits may be from those of libwkv in fp32, relative to their norm. Random weights suffer most from few bits: they
# have no structure that survives the rounding.
TOLERANCES = {"fp32": 1e-4, "bf16": 0.15, "int8": 0.15, "int4": 0.6}
# The package rwkv rounds RWKV-4's normalised embeddings to the dtype of the file, here bf16, whatever it computes in.
ROUNDED = {("rwkv4-0.1B", "rwkv fp32"): 1e-2}
LOGITS_AFTER = 8  # tokens
LOADS = 3


@dataclass
class Engine:
    """One row of the table."""

    name: str
    dtype: str
    file: Path
    command: list
    worker: Worker = None
    loads: list = field(default_factory=list)  # seconds
    start_mb: float = 0  # of the process, before it loads
    resident_mb: float = 0
    peak_mb: float = 0
    logits_error: float = 0
    decode: list = field(default_factory=list)  # tokens/s of each round
    prompt: list = field(default_factory=list)
    busy: list = field(default_factory=list)  # the part of its threads' time that it used

    def start(self, environment, log):
        with open(self.file, "rb") as file:  # into the page cache
            while file.read(1 << 24):
                pass
        self.worker = Worker(self.name, self.command, environment, log)
        self.loads.append(self.worker.facts["load_s"])

    def stop(self):
        self.worker.quit()
        self.worker = None

    def measure(self, options, threads):
        self.worker.ask("decode 2")  # what the system took away while others ran comes back
        decode = self.worker.ask(f"decode {options.decode}")
        prompt = self.worker.ask(f"prefill {options.prompt}")
        self.decode.append(options.decode / decode["s"])
        self.prompt.append(options.prompt / prompt["s"])
        self.busy.append((decode["cpu"] + prompt["cpu"]) / (decode["s"] + prompt["s"]) / threads)


def bare_memory(program):
    """Of our process before it loads anything, MiB."""
    command = [program, "bench", "embedded", "--decode", "1", "--prompt", "1", "--rounds", "1", "--json"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return report["dtypes"][0]["resident_mib_before_load"]


def engines_for(model, options, threads):
    checkpoint = random_checkpoint(model, options.cache)
    engines, start_mb = [], bare_memory(options.program)
    for dtype in options.dtypes:
        command = [options.program, "bench", "--worker", checkpoint, "--dtype", dtype, "--threads", str(threads)]
        engines.append(Engine(f"libwkv {dtype}", dtype, checkpoint, command, start_mb=start_mb))
        for peer in options.peers:
            format = PEER_FORMATS[peer].get(dtype)
            if format is None or SHAPES[model].version not in VERSIONS[peer]:
                continue
            file = gguf_file(checkpoint, format) if peer == "llama.cpp" else checkpoint
            command = [sys.executable, peers.__file__, f"{peer}:{format}", file, "--threads", str(threads)]
            engines.append(Engine(f"{peer} {format}", dtype, file, command))
    return engines


def check_logits(engines, model, options, environment):
    """Throws SystemExit where an engine computes something else."""
    command = [options.program, "bench", "--worker", random_checkpoint(model, options.cache), "--dtype", "fp32"]
    worker = Worker("libwkv fp32", command, environment, options.log)
    expected = worker.ask(f"logits {LOGITS_AFTER}")["v"]
    worker.quit()
    for engine in engines:
        found = engine.worker.ask(f"logits {LOGITS_AFTER}")["v"]
        difference = sum((x - y) ** 2 for x, y in zip(found, expected, strict=True))
        engine.logits_error = (difference / sum(y * y for y in expected)) ** 0.5
        tolerance = ROUNDED.get((model, engine.name), TOLERANCES[engine.dtype])
        if not engine.logits_error <= tolerance:
            raise SystemExit(
                f"benchmark: the logits of {engine.name} on {model} differ by {engine.logits_error:.1e} from libwkv's in fp32, "
                f"more than {tolerance:.0e}: nothing was timed"
            )


def measure(model, options, threads):
    """All engines, measured, and the bandwidth of each round."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    engines = engines_for(model, options, threads)
    for engine in engines:
        for _ in range(LOADS - 1):
            engine.start(environment, options.log)
            engine.stop()
        engine.start(environment, options.log)
        engine.start_mb = engine.worker.facts.get("start_mb", engine.start_mb)
    check_logits(engines, model, options, environment)
    for engine in engines:
        engine.worker.ask("decode 4")
        engine.worker.ask(f"prefill {options.prompt}")
    bandwidth, read = [], ReadBandwidth(threads)
    for _ in range(options.rounds):
        for engine in random.sample(engines, len(engines)):
            engine.measure(options, threads)
        bandwidth.append(max(read.gigabytes_per_second() for _ in range(3)))
    for engine in engines:
        memory = engine.worker.ask("rss")
        engine.resident_mb, engine.peak_mb = memory["cur_mb"], memory["peak_mb"]
        engine.stop()
    return engines, bandwidth


def best_decile(rates):
    return sorted(rates)[-1 - (len(rates) - 1) // 10]


def ratio(ours, theirs):
    return statistics.median(x / y for x, y in zip(ours, theirs, strict=True))


def table(model, options, threads, engines, bandwidth):
    weights = weights_read_for_a_token(random_checkpoint(model, options.cache))
    gigabytes = statistics.median(bandwidth)
    limits = {dtype: gigabytes * 8e9 / BITS[dtype] / weights for dtype in options.dtypes}
    shape = SHAPES[model]
    lines = [
        f"### {model}: RWKV-{shape.version}, {shape.layers} layers of width {shape.width}, vocabulary {shape.vocab}; threads: {threads}",
        "",
        f"Memory reads {gigabytes:.1f} GB/s (best decile {best_decile(bandwidth):.1f}) and a token {weights / 1e6:.1f} million weights; "
        f"that limits decoding to {', '.join(f'{limits[d]:.0f} ({d})' for d in options.dtypes)} tokens/s.",
        "",
        f"| engine | decode, tokens/s | best decile | of the limit | libwkv is | prompt of {options.prompt}, tokens/s | best decile | libwkv is | busy "
        "| load, s | memory at the end, MiB | beyond start and file | peak | logits differ by |",
        "|---|" + "---:|" * 13,
    ]
    for engine in engines:
        ours = next(e for e in engines if e.dtype == engine.dtype)
        times = ["", ""] if engine is ours else [f"{ratio(ours.decode, engine.decode):.2f} x", f"{ratio(ours.prompt, engine.prompt):.2f} x"]
        decode, file_mb = statistics.median(engine.decode), engine.file.stat().st_size / 2**20
        cells = [
            engine.name,
            f"{decode:.1f}",
            f"{best_decile(engine.decode):.1f}",
            f"{100 * decode / limits[engine.dtype]:.0f} %",
            times[0],
            f"{statistics.median(engine.prompt):.0f}",
            f"{best_decile(engine.prompt):.0f}",
            times[1],
            f"{statistics.median(engine.busy):.2f}",
            f"{min(engine.loads):.2f}",
            f"{engine.resident_mb:.0f}",
            f"{engine.resident_mb - engine.start_mb - file_mb:.0f}",
            f"{engine.peak_mb:.0f}",
            f"{engine.logits_error:.0e}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(model, threads, engines, bandwidth):
    facts = ("name", "dtype", "loads", "start_mb", "resident_mb", "peak_mb", "logits_error", "decode", "prompt", "busy")
    rows = [{fact: getattr(engine, fact) for fact in facts} | {"file_bytes": engine.file.stat().st_size} for engine in engines]
    return {"model": model, "threads": threads, "gigabytes_per_second": bandwidth, "engines": rows}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def several(name, allowed, default, help):
        def known(text):
            values = text.split(",")
            if unknown := [value for value in values if value not in allowed]:
                raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}, got {', '.join(unknown)}")
            return values

        parser.add_argument(name, type=known, default=default, help=f"{help}, separated by commas (default: {','.join(default)})")

    def positive(text):
        if int(text) < 1:
            raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
        return int(text)

    several("--models", list(SHAPES), ["rwkv7-0.1B"], f"of {', '.join(SHAPES)}")
    several("--dtypes", list(BITS), list(BITS), "libwkv's dtypes")
    several("--peers", list(PEER_FORMATS), list(PEER_FORMATS), "other engines")
    parser.add_argument("--threads", type=lambda text: [positive(n) for n in text.split(",")], default=[os.cpu_count()], help="numbers of threads")
    parser.add_argument("--rounds", type=positive, default=9)
    parser.add_argument("--decode", type=positive, default=16, help="tokens to decode in a round")
    parser.add_argument("--prompt", type=positive, default=512, help="tokens of the prompt")
    parser.add_argument("--program", default=ROOT / "build/bin/wkv", type=Path, help="the command wkv")
    parser.add_argument("--cache", default=Path(tempfile.gettempdir()) / "wkv-benchmark", type=Path, help="the checkpoints' folder (0.4 to 4 GB a model)")
    parser.add_argument("--json", type=Path, help="write every measurement there")
    options = parser.parse_args()
    if not os.access(options.program, os.X_OK):
        parser.error(f"{options.program} is missing: build it, or name it with --program")
    return options


def main():
    options = parse()
    options.cache.mkdir(parents=True, exist_ok=True)
    options.log = options.cache / "workers.log"
    versions = {peer: peers.installed(peer) for peer in options.peers}
    print("Peers:", ", ".join(f"{peer} {version or '(not installed)'}" for peer, version in versions.items()), flush=True)
    options.peers = [peer for peer, version in versions.items() if version]
    results = []
    for model in options.models:
        for threads in options.threads:
            engines, bandwidth = measure(model, options, threads)
            print("\n" + table(model, options, threads, engines, bandwidth), flush=True)
            results.append(as_json(model, threads, engines, bandwidth))
    if options.json:
        options.json.write_text(json.dumps({"peers": versions, "results": results}, indent=1))


if __name__ == "__main__":
    try:
        main()
    except WorkerFailed as failure:
        raise SystemExit(f"benchmark: {failure}") from None
