"""`wkv tokenize` and `wkv train` as a user runs them: data that is no data, disks that get full, files that are broken."""
import json
import shutil
import subprocess

import pytest
import safetensors.torch
import torch
from test_convert import PROGRAM


def run(*arguments, status=0, limit=None, **options):
    """Standard output, and the lines of standard error. limit: of a file's size, in KiB."""
    command = [PROGRAM, *map(str, arguments)]
    if limit:
        command = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "-", *command]
    done = subprocess.run(command, capture_output=True, timeout=300, **options)
    assert done.returncode == status, done.stderr
    return done.stdout.decode(), done.stderr.decode().splitlines()


def error_of(*arguments, **options):
    """The message, which is the last line."""
    lines = run(*arguments, status=1, **options)[1]
    assert sum(line.startswith("wkv: ") for line in lines) == 1 and lines[-1].startswith("wkv: ")
    return lines[-1]


def set_at(path):
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"the quick brown fox jumps over the lazy dog. " * 200)
    return path


@pytest.fixture
def recipe(tmp_path, text):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"output": str(tmp_path / "run"), "steps": 4, "batch": 2, "context": 32, "checkpoint_every": 1,
                                "threads": 1, "model": {"layers": 2, "width": 32, "head_size": 16}, "data": {"files": [str(text)]}}))
    return path


# --- wkv tokenize


def test_several_texts_are_documents_of_one_set(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    out, log = run("tokenize", "bytes", "--text", tmp_path / "a", "-", "--output", tmp_path / "set.safetensors", input=b"de")
    assert out == f"{tmp_path / 'set.safetensors'}\n" and log == ["5 tokens of 5 bytes, 2 documents"]
    tensors, metadata = set_at(tmp_path / "set.safetensors")
    assert bytes(tensors["tokens"].tolist()) == b"abcde" and tensors["ends"].tolist() == [3, 5]
    assert metadata == {"tokenizer": "bytes", "vocab": "256", "bytes": "5"}


def test_a_long_text_is_tokenised_in_pieces_that_end_with_lines(tmp_path):
    text = b"".join(b"line %d\n\n  indented\n" % i for i in range(150_000))  # 3 MB
    run("tokenize", "bytes", "--output", tmp_path / "set.safetensors", input=text)
    assert bytes(set_at(tmp_path / "set.safetensors")[0]["tokens"].tolist()) == text


def test_each_line_of_json_is_a_document(tmp_path):
    lines = b'{"text": "ab", "id": 1}\n\n{"text": "\\u20ac"}\n'
    run("tokenize", "bytes", "--json-field", "text", "--output", tmp_path / "set.safetensors", input=lines)
    tensors, _ = set_at(tmp_path / "set.safetensors")
    assert bytes(tensors["tokens"].tolist()) == "ab€".encode() and tensors["ends"].tolist() == [2, 5]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"other": "a"}', b'{"text": 1}', b"[" * 100_000])
def test_a_line_that_is_no_document_is_named_and_nothing_is_written(tmp_path, line):
    message = error_of("tokenize", "bytes", "--json-field", "text", "--output", tmp_path / "set.safetensors", input=b'{"text": "a"}\n' + line)
    assert "line 2" in message and list(tmp_path.iterdir()) == []


def test_no_text_makes_no_set(tmp_path):
    assert "there is no text" in error_of("tokenize", "bytes", "--output", tmp_path / "set.safetensors", input=b"")
    assert "no-such-file" in error_of("tokenize", "bytes", "--text", "no-such-file", "--output", tmp_path / "set.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_set_is_trained_on_and_one_of_another_tokenizer_is_refused(tmp_path, text, recipe):
    run("tokenize", "bytes", "--text", text, "--output", tmp_path / "set.safetensors")
    run("train", recipe, f"output={tmp_path / 'of_text'}")
    run("train", recipe, f"data.files={tmp_path / 'set.safetensors'}")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "of_text/model.safetensors").read_bytes()
    model = tmp_path / "run/model.safetensors"
    assert "is no tokenised text" in error_of("train", recipe, f"output={tmp_path / 'x'}", f"data.files={model}")


# --- wkv train


def test_a_text_that_is_too_short_is_refused(tmp_path, recipe):
    (tmp_path / "short").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    assert "context must be at most 2" in error_of("train", recipe, f"data.files={tmp_path / 'short'}", "data.held_out=0")
    assert "no text to train on" in error_of("train", recipe, f"data.files={tmp_path / 'empty'}")


def test_a_checkpoint_that_can_not_be_written_leaves_the_last_one(tmp_path, recipe):
    run("train", recipe, f"output={tmp_path / 'whole'}")
    run("train", recipe, "steps=2")
    assert "File too large" in error_of("train", recipe, limit=16)
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == ["checkpoint-2"]
    run("train", recipe)
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


def test_a_full_disk_stops_the_run_and_with_room_it_goes_on(tmp_path, recipe):
    run("train", recipe, f"output={tmp_path / 'whole'}", "steps=3")
    checkpoint = sum(file.stat().st_size for file in (tmp_path / "whole/checkpoint-3").iterdir())
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={int(1.5 * checkpoint)}", "tmpfs", disk], capture_output=True)
    if not mount or mount.returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    try:
        arguments = ["train", recipe, f"output={disk / 'run'}", "steps=3"]
        message = error_of(*arguments)
        assert "No space left" in message and str(disk / "run") in message
        assert [path.name for path in (disk / "run").glob("checkpoint-*")] == ["checkpoint-1"]
        subprocess.run(["mount", "-o", f"remount,size={5 * checkpoint}", disk], check=True)
        run(*arguments)
        assert (disk / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.safetensors", "recipe.json"])
def test_a_checkpoint_that_is_broken_is_named(tmp_path, recipe, file):
    run("train", recipe, "steps=2")
    broken = tmp_path / "run/checkpoint-2" / file
    broken.write_bytes(broken.read_bytes()[:50])
    assert str(broken) in error_of("train", recipe)


def test_a_loss_that_is_not_finite_says_where_and_what_to_go_on_from(tmp_path, recipe):
    message = error_of("train", recipe, "optimizer.learning_rate=1e30", "optimizer.warmup=0", "optimizer.clip=0")
    assert "is not finite, first in " in message
    assert f"another run may start from {tmp_path / 'run/checkpoint-1'}, as its model.checkpoint" in message


def test_the_examples_of_fine_tuning_run(tmp_path, text, recipe):
    """The recipes as they are, on a small model and text."""
    run("train", recipe)
    for name, written in {"lora": "adapter.safetensors", "state": "model.safetensors"}.items():
        run("train", f"examples/train/{name}.json", f"output={tmp_path / name}", f"model.checkpoint={tmp_path / 'run'}",
            f"data.files={text}", "data.tokenizer=bytes", "context=32", "batch=2", "steps=2", cwd=PROGRAM.parents[2])
        assert (tmp_path / name / written).exists()


LANGUAGE_RECIPES = (
    ("rwkv4_pile", "rwkv4"), ("rwkv_minipile", "rwkv5"), ("rwkv_minipile", "rwkv6"), ("rwkv_minipile", "rwkv7"), ("based_360m", "based"),
)


@pytest.mark.parametrize("name, family", LANGUAGE_RECIPES)
def test_a_published_recipe_trains_a_small_model(tmp_path, text, name, family):
    run("train", f"examples/train/published/{name}.json", f"output={tmp_path / 'run'}", f"data.files={text}", "data.tokenizer=bytes",
        f"model.family={family}", "model.layers=3", "model.width=64", "model.ffn_width=256", "model.vocab=0", "context=32", "batch=2", "steps=2", "threads=1",
        cwd=PROGRAM.parents[2])
    published = json.loads((PROGRAM.parents[2] / f"examples/train/published/{name}.json").read_text())
    card = json.loads((tmp_path / "run/card.json").read_text())
    assert card["family"] == family
    assert card["recipe"]["optimizer"].items() >= published["optimizer"].items()


def test_an_rwkv4_becomes_multi_temporal_and_is_tuned(tmp_path, text, recipe):
    """docs/families/multi_temporal_rwkv.md, word for word but for the sizes."""
    run("train", recipe, "model.family=rwkv4", "export_dtype=fp32")
    run("convert", tmp_path / "run/model.safetensors", tmp_path / "start.safetensors", "--to", "multi-temporal", "--perspectives", 3)
    run("train", "examples/train/multi_temporal.json", f"output={tmp_path / 'tuned'}", f"model.checkpoint={tmp_path / 'start.safetensors'}",
        f"data.files={text}", "data.tokenizer=bytes", "context=32", "steps=3", cwd=PROGRAM.parents[2])
    before = safetensors.torch.load_file(tmp_path / "start.safetensors")
    after = safetensors.torch.load_file(tmp_path / "tuned/model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("time_mix" in name or name in ("convert3.weight", "head.weight") for name in changed)
