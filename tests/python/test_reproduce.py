"""scripts/reproduce: its recall task is the published one, finished runs are kept, the page is what the results say."""

import json
import math
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, golden

sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/benchmark")]
from experiments import clip_captions, generation, multi_temporal, rrwkv_recall  # noqa: E402
from experiments import mqar, mqar_model, mqar_published, runs, tables  # noqa: E402
from experiments.mqar_data import IGNORED, Task, accuracy, sequences  # noqa: E402
from train_program import new_model  # noqa: E402
from training_peers import RWKV7Loop  # noqa: E402

EXPERIMENTS = {
    "mqar": mqar,
    "mqar-published": mqar_published,
    "generation": generation,
    "multi-temporal": multi_temporal,
    "rrwkv-recall": rrwkv_recall,
    "clip-captions": clip_captions,
}
SETS = range(5)  # of the published generator's sequences
EXAMPLES = 4000


def published(index):
    return json.loads(golden("mqar/examples.json").read_text())["sets"][index]


def task_of(found):
    names = {
        "vocab": "vocab_size",
        "length": "input_seq_len",
        "pairs": "num_kv_pairs",
        "power": "power_a",
        "random_fill": "random_non_queries",
    }
    return Task(**{ours: found["params"][theirs] for ours, theirs in names.items()})


def slots_of(task, inputs, labels):
    """[examples, pairs]: where each key is asked for, in slots; checks that the rows are what the task says."""
    keys, values = inputs[:, : 2 * task.pairs].unflatten(1, (-1, 2)).unbind(2)
    assert keys.min() >= 1 and keys.max() < task.vocab // 2 <= values.min() and values.max() < task.vocab
    for tokens in (keys, values):
        assert (tokens.sort(1).values.diff(dim=1) > 0).all()
    scored = labels != IGNORED
    assert (scored.sum(1) == task.pairs).all()
    places = scored.nonzero()[:, 1].view_as(keys)
    is_asked = inputs.gather(1, places)[:, None] == keys[:, :, None]
    assert (is_asked.sum(2) == 1).all()
    places = places.gather(1, is_asked.int().argmax(2))
    assert torch.equal(labels.gather(1, places), values)
    offsets = places - 2 * task.pairs
    assert (offsets >= 0).all() and (offsets % 2 == 0).all()
    return offsets // 2


@pytest.mark.parametrize("index", SETS)
def test_the_published_sequences_are_of_the_task(index):
    found = published(index)
    inputs, labels = (torch.tensor([example[name] for example in found["examples"]]) for name in ("inputs", "labels"))
    slots_of(task_of(found), inputs, labels)


@pytest.mark.parametrize("index", SETS)
def test_sequences_have_the_published_statistics(index):
    found = published(index)
    task, expected = task_of(found), found["statistics"]
    assert task.slots == expected["slots"]
    torch.testing.assert_close(
        task.slot_probabilities()[:16], torch.tensor(expected["slot_probability"]).double(), atol=1e-5, rtol=0
    )

    inputs, labels = sequences(task, EXAMPLES, torch.Generator().manual_seed(1))
    slots = slots_of(task, inputs, labels)
    used = torch.zeros(EXAMPLES, task.slots).scatter_(1, slots, 1)
    frequencies = {
        "first_key_slot_frequency": slots[:, 0, None] == torch.arange(16),
        "last_key_slot_frequency": slots[:, -1, None] == torch.arange(16),
        "slot_used_frequency": used[:, :16],
    }
    for name, ours in frequencies.items():
        theirs = torch.tensor(expected[name])
        error = (2 * theirs * (1 - theirs) / EXAMPLES).sqrt() + 1e-3  # of the difference of two samples
        assert ((ours.float().mean(0) - theirs).abs() < 5 * error).all(), name
    means = {
        "mean_slot_first_key": slots[:, 0],
        "mean_slot_last_key": slots[:, -1],
        "mean_key": inputs[:, 0],
        "mean_value": inputs[:, 1],
    }
    for name, ours in means.items():
        assert abs(ours.double().mean() - expected[name]) < 5 * ours.double().std() * math.sqrt(2 / EXAMPLES), name


def test_what_is_not_asked_is_zero_or_random():
    task = Task(vocab=64, length=32, pairs=4)
    inputs, labels = sequences(task, 50, torch.Generator().manual_seed(0))
    assert (inputs[:, 8:][labels[:, 8:] == IGNORED] == 0).all()
    filled = sequences(Task(64, 32, 4, random_fill=True), 50, torch.Generator().manual_seed(0))[0]
    assert (filled == 0).float().mean() < 0.05


@pytest.mark.parametrize("vocab, length, pairs", [(32, 31, 2), (32, 32, 2), (64, 32, 9)])
def test_a_task_that_does_not_fit_is_refused(vocab, length, pairs):
    with pytest.raises(ValueError, match="length must be"):
        Task(vocab, length, pairs)


def test_accuracy_is_the_mean_over_examples():
    labels = torch.tensor([[IGNORED, 1, 2, 3], [IGNORED, IGNORED, IGNORED, 2]])
    answers = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 2]])
    assert accuracy(torch.nn.functional.one_hot(answers), labels) == pytest.approx((1 / 3 + 1) / 2)


@pytest.mark.parametrize(
    "kind, size, state",
    [
        ("attention", None, 8192),
        ("based", 16, 9945),
        ("based", 8, 2925),
        ("based", 4, 975),
        ("window", 16, 2048),
        ("rwkv4", None, 256),
        ("rwkv6", 16, 1088),
        ("rwkv7", 64, 4160),
    ],
)
def test_state_sizes(kind, size, state):
    assert mqar_model.mixer(kind, 64, 64, size).state == state


@pytest.mark.parametrize("kind, size", mqar.MIXERS)
def test_no_mixer_sees_later_tokens(kind, size):
    torch.manual_seed(0)
    mixer = mqar_model.mixer(kind, 64, 16, size)
    x = torch.randn(2, 16, 64)
    changed = x.clone()
    changed[:, 9] += 1
    before, after = mixer(x), mixer(changed)
    torch.testing.assert_close(after[:, :9], before[:, :9], atol=1e-6, rtol=0)
    assert not torch.allclose(after[:, 9], before[:, 9])


def test_the_loop_of_the_training_benchmark_is_the_library_s_model(tmp_path):
    import wkv

    model = wkv.load(new_model(tmp_path / "new", {"family": "rwkv7", "layers": 2, "width": 64, "head_size": 32}))
    for x in model.named_parameters().values():  # fresh output matrices are zero
        x.data += 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(x.numel()))
    tokens = torch.arange(20).view(2, 10)
    torch.testing.assert_close(RWKV7Loop(model.named_parameters(), 2)(tokens), model(tokens)[0], atol=1e-4, rtol=1e-4)


def settings(path):
    return runs.Settings(path / "results.jsonl", scratch=path, threads=torch.get_num_threads())


def test_finished_runs_are_kept_and_a_torn_line_is_run_again(tmp_path):
    done, configs = [], [{"seed": seed} for seed in range(3)]

    def measure(config, settings):
        done.append(config["seed"])
        return {"value": config["seed"]}

    runs.do_missing_runs(measure, configs[:2], settings(tmp_path))
    file = tmp_path / "results.jsonl"
    file.write_bytes(file.read_bytes()[:-5])  # as a process that was killed leaves it
    assert len(runs.read_results(file)) == 1
    runs.do_missing_runs(measure, configs, settings(tmp_path))
    assert done == [0, 1, 1, 2]
    assert [line["result"]["value"] for line in runs.read_results(file)] == [0, 1, 2]
    assert runs.read_results(file)[0]["conditions"]["torch"] == torch.__version__


HOLDER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from experiments import runs
file = runs.ResultsFile(pathlib.Path(sys.argv[2]))
print(file.claim({"seed": 0}), flush=True)
sys.stdin.read()
"""


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path):
    config, path = {"seed": 0}, tmp_path / "results.jsonl"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, ROOT / "scripts", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "True\n"
    assert not runs.ResultsFile(path).claim(config)
    holder.kill()
    holder.wait()
    assert runs.ResultsFile(path).claim(config)


def test_a_broken_results_file_is_named(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"config": {}}\nnonsense\n')
    with pytest.raises(ValueError, match="results.jsonl:2: expected a JSON object, got 'nonsense'"):
        runs.read_results(tmp_path / "results.jsonl")


def test_the_learning_rate_is_chosen_on_sequences_of_its_own():
    lines = [
        {
            "config": {"model": "a", "learning_rate": rate, "seed": seed},
            "result": {"choice_accuracy": choice, "accuracy": test},
        }
        for rate, choice, test in ((0.1, 0.9, 0.5), (0.2, 0.8, 0.7))
        for seed in range(2)
    ]
    wanted = [line["config"] for line in lines]
    assert tables.results_of(tables.best_runs(lines, wanted, "model")[("a",)], "accuracy") == [0.5, 0.5]
    assert tables.best_runs(lines[1:], wanted, "model") == {}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_says_what_the_results_say(name):
    page, lines = tables.PAGE.read_text(), runs.read_results(ROOT / f"docs/results/{name}.jsonl")
    assert tables.page_with(page, name, EXPERIMENTS[name], lines) == page


@pytest.mark.parametrize(
    "name, rows, workers", [("mqar", 11, 2), ("mqar-published", 4, 1), ("rrwkv-recall", 3, 1), ("multi-temporal", 1, 1)]
)
def test_a_quick_run_fills_its_table(name, rows, workers):
    command = [sys.executable, ROOT / "scripts/reproduce", name, "--quick", "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"Runs: {rows} on 1 of" in done.stdout
