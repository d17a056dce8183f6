"""BASED's figure 2 in its published setting, for a GPU: 8192 tokens, mixed lengths, the figure's numbers beside ours.

One seed, and of four learning rates the best by the figure's own accuracy, as published.
"""

import torch
from svg_plot import Panel

from experiments.mqar_data import Task, sequences
from experiments.mqar_model import WEIGHT_DECAY, Recaller, accuracy_on, mixer
from experiments.tables import conditions_line, grouped, markdown_table

VOCAB, BATCH, EPOCHS, ENOUGH = 8192, 256, 32, 0.99
STD, DROPOUT, LONGEST = 0.02, 0.1, 1024
TRAINING = [
    (64, 100_000, 4),
    (128, 20_000, 8),
    (256, 20_000, 16),
    (256, 20_000, 32),
    (256, 20_000, 64),
]  # T, examples, pairs
TESTS = [(64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256)]
TESTED = 1000  # examples of each
QUICK_TRAINING, QUICK_TESTS, QUICK_TESTED = [(16, 8, 2), (32, 8, 2)], [(16, 2), (32, 4)], 4
LEARNING_RATES = [10 ** (-3 + 0.5 * i) for i in range(4)]
X_TITLE = "state, bytes"  # of the plot
CHUNK = 4000  # sequences that are drawn at once
# (mixer, width, feature dimension | keys | head size) -> the accuracy read from the figure in Zoology's README, +-0.01.
PUBLISHED = {
    ("based", 48, 8): 0.67,
    ("based", 64, 8): 0.72,
    ("based", 128, 8): 0.84,
    ("based", 48, 16): 0.84,
    ("based", 64, 16): 0.91,
    ("based", 48, 24): 0.86,
    ("based", 128, 16): 0.985,
    ("based", 64, 24): 0.97,
    ("based", 64, 32): 0.97,
    ("based", 256, 16): 0.99,
    ("based", 128, 24): 0.99,
    ("based", 128, 32): 0.996,
    ("based", 256, 32): 1.0,
    ("window", 128, 8): 0.08,
    ("window", 128, 16): 0.145,
    ("window", 128, 32): 0.31,
    ("window", 128, 64): 0.515,
    ("window", 128, 128): 0.655,
    ("window", 128, 256): 0.80,
    ("window", 128, 512): 0.94,
    ("attention", 64, None): 1.0,
    ("attention", 128, None): 1.0,
    ("rwkv7", 64, 64): 0.815,
}
NOT_PUBLISHED = [("rwkv4", 128, None), ("rwkv6", 64, 64), ("rwkv6", 128, 64), ("rwkv7", 128, 64)]


def configs(quick):
    every = [*PUBLISHED, *NOT_PUBLISHED]
    return [
        {
            "mixer": kind,
            "width": width,
            "size": size,
            "learning_rate": rate,
            "seed": 0,
            "setting": "quick" if quick else "published",
        }
        for kind, width, size in (every[-4:] if quick else every)
        for rate in (LEARNING_RATES[:1] if quick else LEARNING_RATES)
    ]


def examples(length, count, pairs, vocab, generator, device):
    task = Task(vocab, length, pairs, random_fill=True)
    parts = [sequences(task, min(CHUNK, count - start), generator) for start in range(0, count, CHUNK)]
    return [torch.cat(tensors).to(device) for tensors in zip(*parts)]


def train(model, data, tests, learning_rate, epochs):
    """-> the accuracies of the tests after the last epoch, and how many epochs were needed."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        for inputs, labels in data:  # batches in their order: setting after setting
            for x, y in zip(inputs.split(BATCH), labels.split(BATCH)):
                loss = model.loss(x, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        schedule.step()
        accuracies = [accuracy_on(model, *test) for test in tests]
        if sum(accuracies) / len(accuracies) > ENOUGH:
            break
    return accuracies, epoch


def measure(config, settings):
    quick = config["setting"] == "quick"
    training, lengths, tested = (QUICK_TRAINING, QUICK_TESTS, QUICK_TESTED) if quick else (TRAINING, TESTS, TESTED)
    vocab, generator = 128 if quick else VOCAB, torch.Generator().manual_seed(config["seed"])
    data = [examples(length, count, pairs, vocab, generator, settings.device) for length, count, pairs in training]
    tests = [examples(length, tested, pairs, vocab, generator, settings.device) for length, pairs in lengths]
    torch.manual_seed(config["seed"])
    # A window of w is one of w keys back and the token itself there.
    size = config["size"] + 1 if config["mixer"] == "window" else config["size"]
    layer = mixer(config["mixer"], config["width"], LONGEST, size, dropout=DROPOUT)
    model = Recaller(vocab, config["width"], layer, STD, embedding_dropout=DROPOUT).to(settings.device)
    accuracies, epochs = train(model, data, tests, config["learning_rate"], 1 if quick else EPOCHS)
    state = layer.state - (2 * config["width"] if config["mixer"] == "window" else 0)  # counted as published
    return {
        "accuracy": round(sum(accuracies) / len(accuracies), 4),
        "accuracies": [round(value, 4) for value in accuracies],
        "epochs": epochs,
        "state_bytes": 4 * (model.blocks[0].mixer.state + state),
    }


def best_of_each(lines):
    """(mixer, width, size) -> the line of the best learning rate, where all have run."""
    groups = grouped(lines, "mixer", "width", "size")
    rates = {"quick": 1, "published": len(LEARNING_RATES)}
    return {
        key: max(group, key=lambda line: line["result"]["accuracy"])
        for key, group in groups.items()
        if len(group) == rates[group[0]["config"]["setting"]]
    }


def report(lines, quick=False):
    best = best_of_each(lines)
    rows = []
    for key in [*PUBLISHED, *NOT_PUBLISHED]:
        kind, width, size = key
        found = best[key]["result"] if key in best else None
        state, ours = (f"{found['state_bytes']:,}", f"{found['accuracy']:.3f}") if found else ("", "not run yet")
        rate = f"{best[key]['config']['learning_rate']:.2g}" if found else ""
        rows.append([kind, width, size or "", state, f"{PUBLISHED[key]:g}" if key in PUBLISHED else "", ours, rate])
    header = ["mixer", "width", "d', window or head size", "state, bytes", "published", "here", "learning rate"]
    return f"{markdown_table(header, rows)}\n\n{conditions_line(lines)}"


def panels(lines):
    points = {}
    for key, line in best_of_each(lines).items():
        state = line["result"]["state_bytes"]
        points.setdefault((key[0], "here"), []).append((state, line["result"]["accuracy"]))
        if key in PUBLISHED:
            points.setdefault((key[0], "published"), []).append((state, PUBLISHED[key]))
    points = {name: sorted(line) for name, line in points.items()}
    return [Panel("Recall in the published setting", "accuracy", points, top=1)] if points else []
