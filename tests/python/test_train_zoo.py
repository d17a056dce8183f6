"""scripts/train_zoo: which runs there are, in which order, and that nothing finished is done again."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_cards import SCHEMA, violations

sys.path.insert(0, str(ROOT / "scripts"))

from experiments.runs import read_results  # noqa: E402
from our_zoo import publish, runs  # noqa: E402
from our_zoo.runs import FAMILIES, LEARNING_RATES, TUNES, Run, by_run, do_runs, full_run, ready_runs  # noqa: E402

PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))
# Stands in for wkv: `train RECIPE key=value ...` notes the call and writes a card; the larger the learning rate, the better.
STAND_IN = """#!{python}
import json, sys
from pathlib import Path
changes = dict(item.split("=", 1) for item in sys.argv[3:])
folder = Path(changes["output"])
with open(folder.parent / "calls.txt", "a") as file:
    file.write(folder.name + "\\n")
if "{fails}" and "{fails}" in folder.name:
    sys.exit("broken")
if "{probe}" and "{probe}" == folder.name:
    sys.path.insert(0, "{scripts}")
    from experiments.runs import ResultsFile
    config = {{"stage": "full", "family": "rwkv4", "learning_rate": 4e-3, "seed": 1}}
    (folder / "claimed").write_text(str(ResultsFile(folder.parent / "results.jsonl").claim(config)))
rate, steps = float(changes["optimizer.learning_rate"]), int(changes["steps"])
card = {{"family": "rwkv4", "parameters": 1883360, "steps": steps, "training_tokens": 4184191, "final_loss": 1.5, "seconds": 2.0,
        "held_out_bytes": 220221, "held_out_bits_per_byte": 2 - rate, "recipe": json.loads(Path(sys.argv[2]).read_text())}}
(folder / "card.json").write_text(json.dumps(card))
"""
CLAIM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from experiments.runs import ResultsFile
results = ResultsFile(Path(sys.argv[2]))
print(results.claim(json.loads(sys.argv[3])), flush=True)
sys.stdin.read()
"""


def finished_with(bits):
    """The results of runs: {run: bits per byte}."""
    return {run: {"result": {"held_out_bits_per_byte": value}} for run, value in bits.items()}


@pytest.fixture
def zoo(tmp_path):
    """Does the runs of rwkv4 with the stand-in; returns (failed, the names of those started, results)."""

    def go(fails="", workers=1, probe=""):
        program = tmp_path / "wkv"
        program.write_text(STAND_IN.format(python=sys.executable, fails=fails, probe=probe, scripts=ROOT / "scripts"))
        program.chmod(0o755)
        calls = tmp_path / "runs/calls.txt"
        calls.parent.mkdir(exist_ok=True)
        calls.write_text("")
        failed = do_runs(["rwkv4"], calls.parent, tmp_path / "kjv.txt", program, workers, go.results)
        return failed, calls.read_text().split(), by_run(read_results(go.results))

    go.results = tmp_path / "runs/results.jsonl"
    return go


def test_every_learning_rate_is_tried_before_the_best_one_runs_in_full(zoo):
    _, started, _ = zoo()
    assert started == [*(f"learning-rate-rwkv4-{rate:g}-1" for rate in LEARNING_RATES), *(f"full-rwkv4-0.004-{s}" for s in (1, 2, 3))]


def test_what_is_tried_reads_a_quarter_of_the_tokens(zoo):
    results = zoo()[2]
    assert [results[run]["result"]["tokens"] for run in results] == [256 * 4096] * 3 + [1024 * 4096] * 3


def test_several_workers_do_the_same_runs(zoo):
    _, started, results = zoo(workers=3)
    assert len(started) == len(results) == 6


def test_nothing_finished_is_done_again(zoo):
    assert len(zoo()[1]) == 6
    assert zoo()[1] == []


def test_a_line_that_a_killed_process_left_half_written_is_done_again(zoo):
    zoo()
    lines = zoo.results.read_text().splitlines(keepends=True)
    zoo.results.write_text("".join(lines[:-1]) + lines[-1][:20])
    _, started, results = zoo()
    assert started == ["full-rwkv4-0.004-3"] and len(results) == 6


def test_a_run_that_fails_is_named_and_the_others_go_on(zoo):
    failed, _, results = zoo(fails="full-rwkv4-0.004-2")
    assert [run.seed for run in failed] == [2] and len(results) == 5


def test_while_a_run_goes_on_no_other_process_may_start_it(zoo):
    zoo(probe="full-rwkv4-0.004-1")
    assert (zoo.results.parent / "full-rwkv4-0.004-1/claimed").read_text() == "False"


def test_a_run_that_another_process_is_at_is_left_to_it(zoo):
    zoo()
    last = zoo.results.read_text().splitlines(keepends=True)[-1]
    zoo.results.write_text(zoo.results.read_text().removesuffix(last))
    held = subprocess.Popen(
        [sys.executable, "-c", CLAIM, ROOT / "scripts", zoo.results, json.dumps(json.loads(last)["config"])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdout.readline() == b"True\n"
    assert zoo()[1] == []
    held.communicate()
    assert zoo()[1] == ["full-rwkv4-0.004-3"]


def test_a_tuned_family_waits_for_the_model_that_it_starts_from():
    rates = finished_with({Run("learning-rate", "rwkv4", rate, 1): 2 - rate for rate in LEARNING_RATES})
    assert not [run for run in ready_runs(FAMILIES, rates) if run.family in TUNES]
    base = full_run("rwkv4", 1, rates)
    ready = ready_runs(FAMILIES, {**rates, **finished_with({base: 1.9})})
    assert len([run for run in ready if run.family in TUNES]) == 3


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    """family -> parameters of what its recipe trains."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is missing")
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "text.txt").write_text("In the beginning God created the heaven and the earth.\n" * 200)

    def train(family, *changes):
        out = folder / family
        recipe = ROOT / f"examples/train/kjv_{family}.json"
        command = [PROGRAM, "train", recipe, f"output={out}", "steps=1", "batch=1", "context=8", "threads=1"]
        command += ["data.held_out=0", f"data.files={folder / 'text.txt'}", *changes]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and f'"{family}"' in done.stderr and "model.family" in done.stderr:
            pytest.skip(f"{PROGRAM} has no {family}")
        assert done.returncode == 0, done.stderr
        return json.loads((out / "card.json").read_text())["parameters"]

    found = {family: train(family) for family in FAMILIES if family not in TUNES}
    for family, base in TUNES.items():
        start = folder / "start.safetensors"
        subprocess.run([PROGRAM, "convert", folder / base / "model.safetensors", start, "--to", "multi-temporal"], check=True)
        found[family] = train(family, f"model.checkpoint={start}")
    return found


def test_all_families_have_as_many_parameters(parameters):
    assert max(parameters.values()) <= 1.02 * min(parameters.values()), parameters


def test_every_model_has_a_million_parameters(parameters):
    assert max(parameters.values()) < 1.03e6


def test_a_card_is_valid(zoo, tmp_path):
    (tmp_path / "kjv.txt").write_text("In the beginning\n")
    results = zoo()[2]
    run = Run("full", "rwkv4", 0.004, 1)
    card = publish.card("rwkv4", run, results[run], tmp_path / "kjv.txt", {}, [[116, 9.5]])
    assert list(violations(card, SCHEMA["$defs"]["model"], "card")) == []


def test_a_row_has_the_mean_and_the_spread_of_the_seeds():
    runs = [Run("full", "rwkv4", 0.002, seed) for seed in (1, 2, 3)]
    finished = finished_with(dict(zip(runs, (1.70, 1.72, 1.77))))
    finished[runs[0]]["result"]["parameters"] = 1883360
    row = publish.row("rwkv4", runs, finished, 16000, (9000.4, 1200.0))
    assert row == "| `rwkv4` | 1.7300 (1.7000 to 1.7700) | 0.002 of 0.001, 0.002, 0.004 | 1,883,360 | 16,000 bytes | 9,000 | 1,200 |\n"


@pytest.fixture
def small_zoo(tmp_path, monkeypatch):
    """The real program on recipes of two steps: a family, the one that starts from it, and one that needs its configuration."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is missing")
    families = ["rwkv4", "multi_temporal_rwkv", "transformer"]
    (tmp_path / "recipes").mkdir()
    for family in families:
        recipe = json.loads((ROOT / f"examples/train/kjv_{family}.json").read_text())
        recipe |= {"steps": 8, "batch": 2, "context": 16, "evaluate_every": 0}
        (tmp_path / f"recipes/kjv_{family}.json").write_text(json.dumps(recipe))
    for module in (runs, publish):
        monkeypatch.setattr(module, "RECIPES", tmp_path / "recipes")
        monkeypatch.setattr(module, "SEEDS", [1])
    monkeypatch.setattr(runs, "LEARNING_RATES_OF", dict.fromkeys(families, [1e-3]))
    monkeypatch.setattr(publish, "ROUNDS", 1)
    text = tmp_path / "kjv.txt"
    text.write_text("In the beginning God created the heaven and the earth.\n" * 100)
    assert do_runs(families, tmp_path / "runs", text, PROGRAM, 1, tmp_path / "results.jsonl") == []
    return tmp_path


@pytest.mark.full
def test_all_of_it_in_small(small_zoo, monkeypatch, capsys):
    page = small_zoo / "our_models.md"
    page.write_text("before\n<!-- our models -->\nold\n<!-- /our models -->\nbehind\n")
    monkeypatch.setattr(publish, "PAGE", page)
    publish.report(small_zoo / "runs", small_zoo / "kjv.txt", PROGRAM, write=True, results_file=small_zoo / "results.jsonl")
    assert page.read_text().count("\n| `") == 3
    assert page.read_text().startswith("before\n") and page.read_text().endswith("<!-- /our models -->\nbehind\n")

    monkeypatch.setattr(publish, "ROOT", small_zoo)
    for folder in ("embedded", "cards"):
        (small_zoo / "zoo" / folder).mkdir(parents=True)
    publish.install("transformer", small_zoo / "runs", small_zoo / "kjv.txt", small_zoo / "results.jsonl")
    card = json.loads((small_zoo / "zoo/cards/kjv-1m-transformer.json").read_text())
    assert list(violations(card, SCHEMA["$defs"]["model"], "card")) == []
    assert card["config"]["num_attention_heads"] == 5
    assert len(card["check"]["logits"]) == 5
    assert (small_zoo / "zoo/embedded/kjv-1m-transformer.safetensors").stat().st_size < 2.2e6
