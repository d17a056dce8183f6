"""The command `wkv`, as a user runs it."""
import json
import os
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))
FIXTURE = ROOT / "tests/data/rwkv7/tiny.safetensors"


def wkv(*arguments, status=0, stdin=b"", stdout=subprocess.PIPE):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == status, done.stderr.decode()
    return done


def text_of(*arguments, **options):
    return wkv(*arguments, **options).stdout.decode()


def error_of(*arguments, status=1, **options):
    done = wkv(*arguments, status=status, **options)
    message = done.stderr.decode()
    assert message.startswith("wkv: ") and not done.stdout
    assert len(message.splitlines()) == (1 if status == 1 else 2), message
    return message


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The weights of the fixture (keys w.*) as a checkpoint."""
    import safetensors.torch

    tensors = safetensors.torch.load_file(FIXTURE)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    safetensors.torch.save_file({name[2:]: tensor for name, tensor in tensors.items() if name.startswith("w.")}, path)
    return path


def test_without_arguments_the_embedded_model_writes():
    done = wkv()
    assert len(done.stdout) > 100
    assert b"tokens/s" in done.stderr


def test_version_names_torch():
    assert text_of("--version").startswith("wkv 0.1.0 (torch 2.")


def test_the_same_seed_gives_the_same_text():
    arguments = ("generate", "--prompt", "And it came to pass", "--tokens", 40, "--seed")
    assert text_of(*arguments, 1) == text_of(*arguments, 1)
    assert text_of(*arguments, 1) != text_of(*arguments, 2)


def test_a_prompt_from_standard_input_is_the_same_as_one_on_the_command_line():
    options = ("--tokens", 30, "--seed", 1)
    assert text_of("generate", "--prompt", "-", *options, stdin=b"In the") == text_of("generate", "--prompt", "In the", *options)


def test_json_is_one_object_with_text_tokens_and_speed():
    result = json.loads(text_of("generate", "--prompt", "In the", "--tokens", 20, "--temperature", 0, "--json"))
    assert len(result["tokens"]) == 20 and result["finish_reason"] == "length" and result["prompt_tokens"] == 6
    assert bytes(result["tokens"]).decode() == result["text"]
    assert result["prompt_tokens_per_second"] > 0 and result["generated_tokens_per_second"] > 0


def test_a_stop_text_ends_the_text_and_is_not_shown():
    whole = text_of("generate", "--prompt", "In the", "--tokens", 60, "--temperature", 0)
    stopped = text_of("generate", "--prompt", "In the", "--tokens", 60, "--temperature", 0, "--stop", whole[30:34])
    assert stopped.rstrip("\n") == whole[: whole.index(whole[30:34])].rstrip("\n")


def test_a_saved_state_goes_on_where_it_stopped(tmp_path):
    greedy = ("--temperature", 0)
    whole = text_of("generate", "--prompt", "In the", "--tokens", 30, *greedy)
    first = text_of("generate", "--prompt", "In the", "--tokens", 10, *greedy, "--state-out", tmp_path / "s")
    second = text_of("generate", "--tokens", 20, *greedy, "--state-in", tmp_path / "s")
    assert first.removesuffix("\n") + second == whole


def test_score_of_english_is_better_than_of_noise(tmp_path):
    (tmp_path / "english").write_bytes(b"And God said, Let there be light: and there was light.\n" * 3)
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    english, noise = (json.loads(text_of("score", "embedded", "--text", tmp_path / name, "--json")) for name in ("english", "noise"))
    assert english["bits_per_byte"] < 3 < noise["bits_per_byte"]
    assert english["bytes"] == english["tokens"] == 165


def test_a_text_is_scored_in_windows(tmp_path):
    (tmp_path / "text").write_bytes(b"And God said, Let there be light: and there was light.\n" * 3)
    at_once, wide, narrow = (
        json.loads(text_of("score", "kjv-1m-transformer", "--text", tmp_path / "text", "--json", *context))["bits_per_byte"]
        for context in ((), ("--context", 400), ("--context", 8))
    )
    assert wide == pytest.approx(at_once, rel=1e-5)
    assert narrow > 1.05 * at_once


def test_info_tells_family_sizes_dtype_state_and_tokenizer(checkpoint):
    info = json.loads(text_of("info", checkpoint, "--json"))
    assert info["family"] == "rwkv7" and info["container"] == "safetensors"
    assert info["config"]["n_layer"] == 3 and info["config"]["n_embd"] == 64 and info["config"]["head_size"] == 16
    assert info["dtypes"] == {"fp32": info["parameters"]}
    assert info["state_bytes"] == 3 * (2 * 64 + 4 * 16 * 16) * 4
    assert "rwkv7" in text_of("info", checkpoint)
    assert json.loads(text_of("info", "embedded", "--json"))["tokenizer"] == "bytes"


def test_convert_keeps_the_tensors(checkpoint, tmp_path):
    import safetensors.torch
    import torch

    wkv("convert", checkpoint, tmp_path / "copy.safetensors")
    wkv("convert", checkpoint, tmp_path / "half.safetensors", "--dtype", "bf16")
    original = safetensors.torch.load_file(checkpoint)
    copy, half = (safetensors.torch.load_file(tmp_path / f"{name}.safetensors") for name in ("copy", "half"))
    assert original.keys() == copy.keys() == half.keys()
    for name, tensor in original.items():
        assert torch.equal(tensor, copy[name]) and torch.equal(tensor.bfloat16(), half[name])


def test_convert_to_multi_temporal_tells_what_is_new(tmp_path):
    base, output = ROOT / "tests/data/rwkv4/hf_l3c64", tmp_path / "p.safetensors"
    done = wkv("convert", base, output, "--to", "multi-temporal", "--perspectives", 2)
    added = 5 * 3 * 64 + 2 * 64
    before = json.loads(text_of("info", base, "--json"))["parameters"]
    assert f"{added} of them new ({100 * added / before:.3f} % of the {before} before)" in done.stderr.decode()
    info = json.loads(text_of("info", output, "--json"))
    assert info["family"] == "multi_temporal_rwkv" and info["config"]["n_persp"] == 2


def test_convert_to_rrwkv_says_the_interval(tmp_path):
    base, output = ROOT / "tests/data/rwkv4/hf_l3c64", tmp_path / "r.safetensors"
    done = wkv("convert", base, output, "--to", "rrwkv", "--interval", 5, "--reduction", 8)
    assert f"{3 * (8 * 64 + 2 * 64 * 8)} of them new" in done.stderr.decode()
    info = json.loads(text_of("info", output, "--json"))
    assert info["family"] == "rrwkv" and info["config"]["interval"] == 5 and info["config"]["excite_width"] == 8
    assert "only with --to rrwkv" in error_of("convert", base, output, "--interval", 5, status=2)


def test_convert_refuses_what_it_can_not_make(checkpoint, tmp_path):
    output = tmp_path / "out.safetensors"
    assert "made from rwkv4" in error_of("convert", checkpoint, output, "--to", "multi-temporal")
    assert "be that of a folder" in error_of("convert", checkpoint, output, "--to", "hf")
    assert "only with --to multi-temporal" in error_of("convert", checkpoint, output, "--perspectives", 2, status=2)
    assert error_of("convert", checkpoint, output, "--to", "multi-temporal", "--perspectives", 0, status=2)
    assert not output.exists()


@pytest.mark.parametrize("content, found", [
    (b"", "empty"),
    (b"\0\0\0\0\0\0\0\0", ""),
    (struct.pack("<Q", 1 << 60) + b"{}", ""),
    (b"<!DOCTYPE html><html>", "web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
    (b"PK\x03\x04 and no more", ""),
])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path, content, found):
    (tmp_path / "model.pth").write_bytes(content)
    message = error_of("info", tmp_path / "model.pth")
    assert "model.pth" in message and found.lower() in message.lower()


def test_a_truncated_checkpoint_is_refused(checkpoint, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:-100])
    assert "cut.safetensors" in error_of("generate", tmp_path / "cut.safetensors")


def test_a_missing_file_is_refused():
    assert "no-such-model.pth" in error_of("generate", "no-such-model.pth")
    assert "no-such-text" in error_of("score", "embedded", "--text", "no-such-text")


@pytest.mark.parametrize("arguments", [
    ("generate", "--no-such-option"), ("generate", "--temperature", "-1"), ("generate", "--top-p", "2"), ("no-such-command",),
    ("generate", "--dtype", "int3"), ("info",), ("generate", "--tokens", "many"),
])
def test_bad_usage_ends_with_2(arguments):
    error_of(*arguments, status=2)


def test_a_full_disk_is_a_failure_and_leaves_nothing(checkpoint, tmp_path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "generate", "--tokens", "5"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"No space left" in done.stderr
    assert error_of("convert", checkpoint, "/dev/full/out.safetensors")
    limited = subprocess.run(["bash", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$@"', "-", PROGRAM, "convert", checkpoint, tmp_path / "out.safetensors"],
                             stderr=subprocess.PIPE)
    assert limited.returncode == 1 and list(tmp_path.iterdir()) == []


def test_chat_answers_each_line_of_standard_input():
    done = wkv("chat", "--tokens", 20, "--seed", 1, stdin=b"Who art thou?\nSpeak.\n")
    assert done.stdout.count(b"\n") >= 2


def test_training_goes_on_where_it_stopped(tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"the quick brown fox jumps over the lazy dog. " * 200)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"output": str(tmp_path / "run"), "steps": 4, "batch": 2, "context": 32, "checkpoint_every": 2,
                                  "model": {"layers": 1, "width": 32, "head_size": 16}, "data": {"files": [str(text)]}}))
    wkv("train", recipe)
    assert json.loads(text_of("info", tmp_path / "run/model.safetensors", "--json"))["config"]["n_embd"] == 32
    wkv("train", recipe, f"output={tmp_path / 'parts'}", "steps=2")
    wkv("train", recipe, f"output={tmp_path / 'parts'}")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "parts/model.safetensors").read_bytes()
    assert "optimizer.learning_rat" in error_of("train", recipe, "optimizer.learning_rat=1")
