"""Exported models give the model's own numbers, in Python and in programs that link libwkv_ops alone."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import vision_cases
import wkv
from conftest import ROOT, golden
from test_cli import PROGRAM, error_of
from test_cli import wkv as command
from torch._inductor.package import load_package
from wkv import export
from wkv._library import library_folder

LANGUAGE = [
    "rwkv4/datt96",
    "rwkv5/v50_faaaa",
    "rwkv5/v52_div1",
    "rwkv6/state-tuning",
    "rwkv6/x060b",
    "rwkv7/tiny",
    "multi_temporal_rwkv/lm_p4",
    "based/tiny_f8_w6",
]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = 1e-6  # of a tensor's largest entry
COMPILED_TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2}
EXAMPLES = ROOT / "examples/export"
ENVIRONMENT = os.environ | {
    "WKV_PYTHON": sys.executable,
    "PYTHONPATH": str(ROOT / "zoo/python"),
    "LD_LIBRARY_PATH": str(Path(torch.__path__[0], "lib")),  # an AOTInductor package needs PyTorch's own libraries
}


class Subject:
    """A golden model's weights as a checkpoint, and what `wkv export` is told of it."""

    def __init__(self, path, config, family):
        self.path, self.config, self.family = path, config, family

    def load(self, dtype="fp32"):
        return wkv.load(self.path, config=self.config, family=self.family, dtype=DTYPES[dtype])

    def export(self, output, *options, to="torchscript", dtype="fp32"):
        arguments = [self.path, output, "--to", to, "--dtype", dtype, "--config", json.dumps(self.config), *options]
        subprocess.run([PROGRAM, "export", *map(str, arguments)], check=True, env=ENVIRONMENT)
        return output


def language_model(name, folder):
    tensors = safetensors.torch.load_file(golden(f"{name}.safetensors"))
    weights = {key[2:]: tensor for key, tensor in tensors.items() if key.startswith("w.")}
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    return Subject(folder / "model.safetensors", json.loads(golden(f"{name}.json").read_text()), None)


def vision_model(case, folder):
    fixture = vision_cases.VisionFixture(vision_cases.CASES[case], folder)
    return Subject(fixture.path, fixture.config, fixture.case.family)


def load(path):
    files = {"wkv.json": ""}
    module = torch.jit.load(path, _extra_files=files)
    return module, json.loads(files["wkv.json"])


def some_tokens(vocabulary, *shape):
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(0))


def some_images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def difference(results, expected):
    """The largest of all, each relative to its tensor's largest entry."""
    assert [(x.shape, x.dtype) for x in results] == [(x.shape, x.dtype) for x in expected]
    pairs = [(x.double(), y.double()) for x, y in zip(results, expected)]
    return max(((x - y).abs().max() / y.abs().max().clamp(min=1e-6)).item() for x, y in pairs)


def model_outputs(model, tokens, lengths):
    """The logits and the state of the model itself, read in pieces of these lengths."""
    logits, state = [], None
    for piece in tokens.split(lengths, dim=1):
        piece_logits, state = model(piece, state)
        logits.append(piece_logits)
    return [torch.cat(logits, 1), *state.tensors().values()]


def greedy_text(model, text):
    tokens, state, result = torch.tensor([list(text)]), None, []
    for _ in range(60):
        logits, state = model(tokens, state)
        tokens = logits[:, -1:].argmax(-1)
        result.append(tokens.item())
    return bytes(result)


def run_example(name, file, text):
    """What examples/export/NAME.cpp, which links libwkv_ops.so alone, and NAME.py make of the text."""
    program, library = library_folder().parent / f"bin/export_{name}", library_folder() / "libwkv_ops.so"
    for command_line in ([program, file, text], [sys.executable, EXAMPLES / f"{name}.py", library, file, text]):
        yield subprocess.run(command_line, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE).stdout


# --- TorchScript ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LANGUAGE)
def test_a_traced_language_model_gives_the_logits_and_states_of_blocks_and_steps(name, dtype, tmp_path):
    subject = language_model(name, tmp_path)
    module, description = load(subject.export(tmp_path / "traced.pt", "--batch", 2, "--block", 8, dtype=dtype))
    tokens = some_tokens(description["vocab_size"], 2, 19)
    logits, state = module(tokens, module.initial_state())
    assert difference([logits, *state], model_outputs(subject.load(dtype), tokens, [8, 8, 1, 1, 1])) <= TOLERANCE


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in vision_cases.CASES if case != "clip"])
def test_a_traced_vision_model_gives_its_logits_and_features(case, dtype, tmp_path):
    subject = vision_model(case, tmp_path)
    module, _ = load(subject.export(tmp_path / "traced.pt", "--batch", 2, "--size", 64, dtype=dtype))
    model, images = subject.load(dtype), some_images(2, 3, 64, 64)
    expected = [part for maps in model.features(images) for part in (maps if isinstance(maps, tuple) else [maps])]
    assert difference(module.features(images), expected) <= TOLERANCE
    if hasattr(module, "forward"):
        assert difference([module(images)], [model(images)]) <= TOLERANCE


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_traced_clip_gives_its_features_and_scale(dtype, tmp_path):
    subject = vision_model("clip", tmp_path)
    module, description = load(subject.export(tmp_path / "traced.pt", "--batch", 2, dtype=dtype))
    size, model = description["image"], subject.load(dtype)
    images, tokens = some_images(2, 3, size, size), some_tokens(model.config["vocab_size"], 2, description["context"])
    assert difference(module(images, tokens), model(images, tokens)) <= TOLERANCE
    assert difference([module.encode_text(tokens)], [model.encode_text(tokens)]) <= TOLERANCE


def test_a_quantised_model_can_be_traced(tmp_path):
    command("export", "embedded", tmp_path / "traced.pt", "--to", "torchscript", "--dtype", "int8", "--block", 8)
    module, description = load(tmp_path / "traced.pt")
    tokens = some_tokens(256, 1, 10)
    logits, state = module(tokens, module.initial_state())
    expected = model_outputs(wkv.load("embedded", dtype="int8"), tokens, [8, 1, 1])
    assert difference([logits, *state], expected) <= TOLERANCE


def test_the_file_describes_the_model(tmp_path):
    command("export", "embedded", tmp_path / "traced.pt", "--to", "torchscript", "--batch", 3)
    module, description = load(tmp_path / "traced.pt")
    model = wkv.load("embedded")
    assert module.state_dict().keys() == model.state_dict().keys()
    assert (description["family"], description["config"], description["dtype"]) == (model.family, model.config, "fp32")
    assert (description["batch"], description["block"], description["tokenizer"]) == (3, 64, "bytes")
    state = model.initial_state(3).tensors()
    assert {entry["name"]: entry["shape"] for entry in description["state"]} == {
        name: list(tensor.shape) for name, tensor in state.items()
    }
    assert difference(module.initial_state(), list(state.values())) == 0


def test_the_examples_continue_a_text_as_the_model_does(tmp_path):
    export.torchscript(wkv.load("embedded"), tmp_path / "model.pt")
    text = b"And it came to pass in those days, that there went out a decree from the king"  # a block and some steps
    expected = greedy_text(wkv.load("embedded"), text)
    for written in run_example("torchscript", tmp_path / "model.pt", text):
        assert written == expected


# --- AOTInductor ---


def compiled_difference(subject, folder, dtype="fp32"):
    """Of two blocks and two steps of a language model, in logits and states."""
    file = subject.export(folder / "model.pt2", "--batch", 2, "--block", 4, to="aoti", dtype=dtype)
    prompt, step = load_package(file, "prompt"), load_package(file)
    tokens = some_tokens(json.loads(step.get_metadata()["vocab_size"]), 2, 10)
    state, logits = load_package(file, "initial_state")(), []
    for piece in tokens.split([4, 4, 1, 1], dim=1):
        piece_logits, *state = (prompt if piece.shape[1] == 4 else step)(piece.clone(), *state)
        logits.append(piece_logits)
    expected = model_outputs(subject.load(dtype), tokens, [4, 4, 1, 1])
    return difference([torch.cat(logits, 1), *state], expected)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiled")
    subject = language_model("rwkv7/tiny", folder)
    return subject, subject.export(folder / "model.pt2", "--block", 8, to="aoti")


def test_a_compiled_model_gives_the_logits_and_states_of_blocks_and_steps(compiled):
    subject, file = compiled
    prompt, step = load_package(file, "prompt"), torch._inductor.aoti_load_package(file)
    tokens = some_tokens(50, 1, 10)
    logits, *state = prompt(tokens[:, :8].clone(), *load_package(file, "initial_state")())
    for t in (8, 9):
        logits, *state = step(tokens[:, t : t + 1].clone(), *state)
    expected, *expected_state = model_outputs(subject.load(), tokens, [8, 1, 1])
    assert difference([logits, *state], [expected[:, -1:], *expected_state]) <= COMPILED_TOLERANCE["fp32"]


def test_the_examples_continue_a_text_with_a_compiled_model(compiled):
    subject, file = compiled
    text = b"(1 + 0) * 10, 0.1 + 1"  # of the 50 bytes that this model knows; two blocks and some steps
    for written in run_example("aoti", file, text):
        assert written == greedy_text(subject.load(), text)


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LANGUAGE)
def test_every_language_model_can_be_compiled(name, dtype, tmp_path):
    assert compiled_difference(language_model(name, tmp_path), tmp_path, dtype) <= COMPILED_TOLERANCE[dtype]


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in vision_cases.CASES if case != "clip"])
def test_every_vision_model_can_be_compiled(case, dtype, tmp_path):
    subject = vision_model(case, tmp_path)
    compiled = torch._inductor.aoti_load_package(
        subject.export(tmp_path / "model.pt2", "--size", 64, to="aoti", dtype=dtype)
    )
    model, images = subject.load(dtype), some_images(1, 3, 64, 64)
    try:
        expected = [model(images)]
    except ValueError:  # a backbone without a head
        expected = [part for maps in model.features(images) for part in (maps if isinstance(maps, tuple) else [maps])]
    assert difference(compiled(images), expected) <= COMPILED_TOLERANCE[dtype]


@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_can_be_compiled(dtype, tmp_path):
    subject = vision_model("clip", tmp_path)
    file = subject.export(tmp_path / "model.pt2", "--size", 64, to="aoti", dtype=dtype)
    encode_image, encode_text, model = load_package(file), load_package(file, "encode_text"), subject.load(dtype)
    context = json.loads(encode_text.get_metadata()["context"])
    images, tokens = some_images(1, 3, 64, 64), some_tokens(model.config["vocab_size"], 1, context)
    results = [*encode_image(images), *encode_text(tokens)]
    assert difference(results, [model.encode_image(images), model.encode_text(tokens)]) <= COMPILED_TOLERANCE[dtype]


# --- what can't be exported ---


@pytest.mark.parametrize(
    "name, reason",
    [
        ("rwkv4/tiny_att", "its state's past_tiny_k grows with every token"),
        ("transformer/tiny", "its state's past_k0 grows with every token"),
        ("rrwkv/lm_s4", "which token ends a segment depends on the state's pos"),
    ],
)
def test_a_model_whose_graph_depends_on_more_than_shapes_is_named_with_the_reason(name, reason, tmp_path):
    subject, output = language_model(name, tmp_path), tmp_path / "out.pt"
    config = json.dumps(subject.config)
    message = error_of("export", subject.path, output, "--to", "torchscript", "--config", config)
    assert reason in message and name.split("/")[0] in message
    assert not output.exists()


def test_a_folder_that_is_not_there_is_named_before_anything_is_done(tmp_path):
    for to, name in (("torchscript", "model.pt"), ("aoti", "model.pt2")):
        assert "No such file or directory" in error_of("export", "embedded", tmp_path / "none" / name, "--to", to)


def test_bad_usage_is_told(tmp_path):
    output = tmp_path / "model.pt"
    assert "onnx" in error_of("export", "embedded", output, "--to", "onnx", status=2)
    assert ".pt2" in error_of("export", "embedded", output, "--to", "aoti", status=2)
    assert "--block" in error_of("export", "embedded", output, "--to", "torchscript", "--block", 1, status=2)
    assert not list(tmp_path.iterdir())


def test_an_adapter_wants_the_size_of_its_images(tmp_path):
    subject = vision_model("detection adapter", tmp_path)
    message = error_of("export", subject.path, tmp_path / "model.pt", "--to", "torchscript", "--config", json.dumps(subject.config))
    assert "images of many sizes" in message


def test_without_a_python_aoti_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("WKV_PYTHON", str(tmp_path / "python"))
    assert "WKV_PYTHON" in error_of("export", "embedded", tmp_path / "model.pt2", "--to", "aoti")
    assert not list(tmp_path.iterdir())
