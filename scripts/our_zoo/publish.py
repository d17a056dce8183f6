"""What comes out of the finished runs: the table of docs/our_models.md, and a model's file and card in zoo/."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from experiments.runs import read_results
from our_zoo.runs import FAMILIES, FINAL_PART, RECIPES, SEEDS, TUNES, bits_per_byte, by_run, full_run, learning_rates
from pages import with_part

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/our_models.md"
HEAD = (
    "| model | bits per byte, held out: mean of the seeds (lowest to highest) | learning rate | parameters "
    "| state after 1000 tokens, fp32 | trained, tokens/s | decoded, tokens/s |\n|---|---|---|---|---|---|---|\n"
)
NAMES = {
    "rwkv4": "RWKV-4", "rwkv5": "RWKV-5", "rwkv6": "RWKV-6", "rwkv7": "RWKV-7", "rrwkv": "RRWKV", "based": "BASED",
    "transformer": "transformer", "multi_temporal_rwkv": "RWKV-4 with 4 temporal perspectives",
}  # fmt: skip
STATE_TOKENS = 1000
STEPS_TIMED, STEPS_WARM = 10, 2
ROUNDS = 2
PROMPT = "And God said, Let there be ligh"


def full_runs(family, finished):
    """The finished ones at the best learning rate."""
    runs = [full_run(family, seed, finished) for seed in SEEDS]
    return [run for run in runs if run in finished]


def load(model):
    sys.path.insert(0, str(ROOT / "zoo/python"))
    import wkv

    return wkv.load(model).eval()


def run_model(model, tokens):
    """The logits after the last token, fp64, and the state."""
    import torch

    with torch.no_grad():
        logits, state = load(model)(torch.tensor([list(tokens)]))
    return logits[0, -1].double(), state


def state_bytes(model):
    _, state = run_model(model, [0] * STATE_TOKENS)
    return sum(tensor.numel() * tensor.element_size() for tensor in state.tensors().values())


def training_speed(family, model, text, program):
    """Tokens a second of the median step."""
    path = RECIPES / f"kjv_{family}.json"
    recipe = json.loads(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"output={folder}", f"data.files={text}", "data.held_out=0", "threads=1", "log_every=1", f"steps={STEPS_TIMED}"]
        changes += [f"model.checkpoint={model}"] if family in TUNES else []
        subprocess.run([program, "train", path, *changes], check=True, capture_output=True)
        lines = [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]
    times = [line["seconds"] for line in lines]
    steps = [after - before for before, after in zip(times[STEPS_WARM:], times[STEPS_WARM + 1 :])]
    return recipe["batch"] * recipe["context"] / statistics.median(steps)


def decoding_speed(model, program):
    command = [program, "bench", model, "--dtype", "bf16", "--threads", "1", "--decode", "512", "--prompt", "64", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    works = {result["work"]: result for result in report["dtypes"][0]["results"]}
    return works["decode"]["tokens_per_second"]["median"]


def speeds(models, text, program):
    """family -> (training, decoding), the best of rounds in which the families take turns."""
    found = {family: (0.0, 0.0) for family in models}
    for _ in range(ROUNDS):
        for family, model in models.items():
            now = training_speed(family, model, text, program), decoding_speed(model, program)
            found[family] = tuple(map(max, found[family], now))
    return found


def row(family, runs, finished, state, speed):
    bits = [bits_per_byte(finished, run) for run in runs]
    spread = f" ({min(bits):.4f} to {max(bits):.4f})" if len(bits) > 1 else " (one seed)"
    tried = ", ".join(f"{rate:g}" for rate in learning_rates(family))
    parameters = finished[runs[0]]["result"]["parameters"]
    return (
        f"| `{family}` | {statistics.mean(bits):.4f}{spread} | {runs[0].learning_rate:g} of {tried} | {parameters:,} "
        f"| {state:,} bytes | {speed[0]:,.0f} | {speed[1]:,.0f} |\n"
    )


def model_of(run, folder):
    """What was trained here, or else, of a run that was done elsewhere, the library's own model of the family."""
    trained = folder / run.name
    return trained if trained.exists() else name_of(run.family)


def table(folder, text, program, results_file):
    finished = by_run(read_results(results_file))
    runs = {family: of_family for family in FAMILIES if (of_family := full_runs(family, finished))}
    if not runs:
        raise SystemExit(f"{results_file}: no family's full run is finished")
    models = {family: model_of(of_family[0], folder) for family, of_family in runs.items()}
    measured = speeds(models, text, program)
    lines = [
        (statistics.mean(bits_per_byte(finished, run) for run in of_family),
         row(family, of_family, finished, state_bytes(models[family]), measured[family]))
        for family, of_family in runs.items()
    ]  # fmt: skip
    cpu = finished[next(iter(runs.values()))[0]]["conditions"]["cpu"]
    note = f"\nSpeeds: one thread of an {cpu}, batch 16 x 256 in training, one sequence in bf16 in decoding; {date.today()}.\n"
    return HEAD + "".join(line for _, line in sorted(lines)) + note


def report(folder, text, program, write, results_file):
    found = table(folder, text, program, results_file)
    print(found, end="")
    if write:
        PAGE.write_text(with_part(PAGE.read_text(), "our models", found))


def largest_logits(model):
    """Of the next byte after the prompt: [[token, logit], ...]."""
    values, indices = run_model(model, PROMPT.encode())[0].topk(5)
    return [[index.item(), round(value.item(), 4)] for value, index in zip(values, indices)]


def needed_config(folder):
    """The model's config.json where its tensors alone make no model, or another one; else {}."""
    with tempfile.TemporaryDirectory() as alone:
        shutil.copy(folder / "model.safetensors", alone)
        try:
            same = run_model(Path(alone, "model.safetensors"), PROMPT.encode())[0].equal(run_model(folder, PROMPT.encode())[0])
        except (RuntimeError, ValueError):
            same = False
    return {} if same else json.loads((folder / "config.json").read_text())


def name_of(family):
    """In the catalogue; 1m: parameters, beside kjv-rwkv7, which has 1.9 million."""
    return f"kjv-1m-{family.replace('_', '-')}"


def recipe_of(run):
    """The family's, as the run changed it."""
    recipe = json.loads((RECIPES / f"kjv_{run.family}.json").read_text())
    recipe |= {"output": name_of(run.family), "seed": run.seed}
    recipe["optimizer"] |= {"learning_rate": run.learning_rate, "final_learning_rate": run.learning_rate * FINAL_PART}
    if run.family in TUNES:
        recipe["model"] = {"checkpoint": f"{name_of(TUNES[run.family])}, converted"}
    return recipe


def card(family, run, line, text, config, logits):
    """As the schema in zoo/cards/schema has it."""
    result, bits = line["result"], line["result"]["held_out_bits_per_byte"]
    epochs = result["tokens"] / result["training_tokens"]
    families = ",".join(filter(None, (TUNES.get(family), family)))
    window = recipe_of(run)["context"]
    reading = f"in windows of {window} bytes: --context {window}" if family == "transformer" else "in one pass"
    start = f", from {name_of(TUNES[family])}" if family in TUNES else ""
    notes = "Models of all families were trained under equal conditions, to be compared: docs/our_models.md. It has read "
    return {
        "name": name_of(family),
        "aliases": [],
        "description": f"Byte-level {NAMES[family]}, trained by this project on the King James Bible{start}",
        "family": family,
        "task": "text-generation",
        "source": {"embedded": f"{name_of(family)}.safetensors"},
        "files": [],
        "container": "safetensors",
        "parameters": result["parameters"],
        "config": config,
        "tokenizer": "bytes",
        "preprocessing": None,
        "prompt": None,
        "licence": "Apache-2.0",
        "figures": [{
            "metric": "bits per byte", "data": "King James Bible, the last 5 % (held out)", "value": round(bits, 4), "unit": "",
            "conditions": f"bf16 weights, fp32 arithmetic, weights fixed; {result['held_out_bytes']} bytes {reading}",
        }],
        "check": {"prompt": PROMPT, "logits": logits},
        "verified": "full",
        "dtype": "bf16",
        "data": {
            "text": "King James Bible (public domain), as Debian's package bible-kjv prints it",
            "command": "bible -f gen1:1-rev22:21 > kjv.txt",
            "bytes": text.stat().st_size,
            "held_out": f"the last 5 %, {result['held_out_bytes']} bytes",
        },
        "commands": [f"scripts/train_zoo FOLDER --results FOLDER/results.jsonl --text kjv.txt --families {families}"],
        "recipe": recipe_of(run),
        "training": {
            "seed": run.seed, "steps": result["steps"], "tokens": result["tokens"], "epochs": round(epochs, 2),
            "final_training_loss_nats": round(result["final_loss"], 4), "seconds": round(result["seconds"]), "threads": 1,
            "machine": line["conditions"]["cpu"] + ", shared with other work",
        },
        "notes": notes + ("the text once." if round(epochs, 1) == 1 else f"{epochs:.0%} of the text."),
    }  # fmt: skip


def as_text(card):
    """JSON, lists of plain values on one line."""
    text = json.dumps(card, indent=2, ensure_ascii=False)
    return re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda match: "[" + re.sub(r",\s+", ", ", match[1]) + "]", text) + "\n"


def install(family, folder, text, results_file):
    finished = by_run(read_results(results_file))
    runs = full_runs(family, finished)
    if not runs:
        raise SystemExit(f"{results_file}: no full run of {family} is finished")
    best = min(runs, key=lambda run: bits_per_byte(finished, run))
    model = folder / best.name
    if not model.exists():
        raise SystemExit(f"{model} is missing: the best run of {family} was done in another folder")
    made = card(family, best, finished[best], text, needed_config(model), largest_logits(model))
    shutil.copyfile(model / "model.safetensors", ROOT / "zoo/embedded" / f"{made['name']}.safetensors")
    (ROOT / "zoo/cards" / f"{made['name']}.json").write_text(as_text(made))
    print(f"zoo/embedded/{made['name']}.safetensors, zoo/cards/{made['name']}.json: {bits_per_byte(finished, best):.4f} bits per byte")
