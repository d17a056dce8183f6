"""What perspectives add to RWKV-4 (arXiv 2402.02625): fine-tuning P of them against the same fine-tuning without.

Each run fine-tunes the zoo's RWKV-4 on the text that it was trained on, for equally many steps, equally fast, and with
the same parameters trained (token-shift mixes and head): the RWKV-4 itself, and its conversions with P perspectives,
whose copies are equal at first (as published) or differ by noise. Bits per byte are those of the text's last part,
which is never trained on.
"""

from pathlib import Path

from train_program import call, card, random_text, train

from experiments.runs import digest_of
from experiments.tables import conditions_line, markdown_table, mean_and_spread, results_of

SEEDS = range(3)
HELD_OUT = 0.05  # as when the base was trained
BASE = "kjv-1m-rwkv4"
SIZES = {"batch": 16, "context": 256, "steps": 128}
QUICK = {"batch": 2, "context": 32, "steps": 2}
VARIANTS = [(1, 0.0), (2, 0.0), (4, 0.0), (2, 0.01), (4, 0.01)]  # perspectives, noise on the copies
TRAINED = ["time_mix", "convert3", "head"]  # as published
TUNING = {"learning_rate": 1e-3, "final_learning_rate": 1e-4, "warmup": 10, "weight_decay": 0}
# RWKV-4 as published: layers, width, vocabulary.
PUBLISHED = {"169M": (12, 768, 50277), "430M": (24, 1024, 50277), "1B5": (24, 2048, 50277), "3B": (32, 2560, 50277)}


def configs(quick):
    return [{**(QUICK if quick else SIZES), "seed": seed} for seed in (SEEDS[:1] if quick else SEEDS)]


def name_of(perspectives, noise):
    return f"P{perspectives}" + (f" noise {noise:g}" if noise else "")


def recipe(config, output, text, start, perspectives):
    return {
        "output": str(output),
        "seed": config["seed"] + 1,
        **{name: config[name] for name in SIZES},
        "model": {"checkpoint": str(start)},
        "data": {"files": [str(text)], "tokenizer": "bytes", "held_out": HELD_OUT},
        "optimizer": TUNING | {"train": [name for name in TRAINED if perspectives > 1 or name != "convert3"]},
        "checkpoint_every": 100,
        "export_dtype": "fp32",
    }


def held_out(folder):
    return round(card(folder)["held_out_bits_per_byte"], 5)


def measure(config, settings):
    folder = settings.scratch / f"multi-temporal-{digest_of(config)}"
    text, threads = settings.options.get("text"), settings.threads
    if text is None:
        if not settings.options["quick"]:
            raise ValueError("multi-temporal: --text FILE is missing: docs/training.md says how to get the Bible's")
        folder.mkdir(parents=True, exist_ok=True)
        text = random_text(folder / "text.txt", 20000)
    result = {"text_bytes": Path(text).stat().st_size}
    for perspectives, noise in VARIANTS:
        name, start = name_of(perspectives, noise), BASE
        if perspectives > 1:
            start = folder / f"{name}.safetensors"
            to = f"--to multi-temporal --perspectives {perspectives} --mix-noise {noise} --dtype fp32"
            call("convert", BASE, start, *to.split(), threads=threads)
        result[name] = held_out(train(recipe(config, folder / name, text, start, perspectives), threads=threads))
    return result


def shares():
    rows = []
    for name, (layers, width, vocab) in PUBLISHED.items():
        base = 2 * vocab * width + layers * (13 * width**2 + 11 * width) + 4 * width
        added = {p: (p - 1) * 5 * layers * width + p * width for p in (2, 4)}
        rows.append([name, f"{base:,}", *(f"{count:,} ({count / base:.3%})" for count in added.values())])
    return "Parameters that are added:\n\n" + markdown_table(["RWKV-4", "parameters", "P = 2", "P = 4"], rows)


def report(lines, quick=False):
    if not lines:
        return "Not run yet.\n\n" + shares()
    config, rows = lines[0]["config"], []
    without = results_of(lines, name_of(1, 0))
    for perspectives, noise in VARIANTS:
        tuned = results_of(lines, name_of(perspectives, noise))
        gains = [before - after for before, after in zip(without, tuned)]
        if perspectives == 1:
            rows.append(["RWKV-4", mean_and_spread(tuned, 4), "-"])
        else:
            what = f"P = {perspectives}, copies {f'with noise {noise:g}' if noise else 'equal'}"
            rows.append([what, mean_and_spread(tuned, 4), mean_and_spread(gains, 4)])
    return (
        f"`{BASE}`, {config['steps']} steps of fine-tuning, {config['batch'] * config['context']:,} bytes each; "
        f"{len(lines)} of {len(configs(quick))} seeds.\n\n"
        f"{markdown_table(['fine-tuned', 'bits per byte, held out', 'less than RWKV-4'], rows)}\n\n"
        f"{shares()}\n\n{conditions_line(lines)}"
    )
