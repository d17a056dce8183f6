"""Published checkpoints open, in every container, and give the numbers stored for them."""
import pytest
import torch
import wkv
from conftest import shared

DIGITS = "checkpoints/digit-reverse-rwkv7-L2"
TINY = "checkpoints/tiny-rwkv-7v0-834k"
TINY_4 = "checkpoints/tiny-rwkv-4v0-660k"


def expected(name):
    import safetensors.torch

    return safetensors.torch.load_file(shared(f"{name}.expected.safetensors"))


@pytest.mark.parametrize("suffix", [".pth", ".legacy.pth", ".safetensors"])
def test_digit_reverse(suffix):
    e = expected(DIGITS)
    logits, state = wkv.load(shared(DIGITS + suffix))(e["in.tokens"])
    assert (logits - e["out.logits64"]).abs().max() < 1e-3
    assert torch.equal(logits.argmax(-1), e["out.argmax"])
    for name in ("wkv0", "wkv1"):
        torch.testing.assert_close(state.tensors()[name], e[f"state.{name}"], rtol=1e-3, atol=1e-3)


def test_digit_reverse_reverses_digits():
    model = wkv.load(shared(DIGITS + ".pth"))
    tokens, answer = [3, 1, 4, 1, 5, 9, 2, 6, 10], []
    logits, state = model(torch.tensor([tokens]))
    for _ in range(9):
        answer.append(logits[0, -1].argmax().item())
        logits, state = model(torch.tensor([answer[-1:]]), state)
    assert answer == [6, 2, 9, 5, 1, 4, 1, 3, 11]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tiny_rwkv_7v0(suffix):
    e = expected(TINY)
    model = wkv.load(shared(TINY + suffix))
    text, state = model(e["in.text"][None])
    prompt, _ = model(e["in.prompt"][None])
    assert (text[0] - e["out.text_logits"]).abs().max() <= e["tolerance.max_abs_fp32"].item()
    assert (prompt[0] - e["out.prompt_logits"]).abs().max() <= e["tolerance.max_abs_fp32"].item()
    published = e["out.prompt_last_logits_published"]
    assert (prompt[0, -1] - published).abs().max() <= e["tolerance.max_abs_published"].item()
    for name in ("wkv0", "wkv11", "att_x0", "att_x11", "ffn_x0", "ffn_x11"):
        torch.testing.assert_close(state.tensors()[name][0], e[f"state.{name}"], rtol=1e-3, atol=1e-5)


def test_tiny_rwkv_7v0_in_bfloat16():
    e = expected(TINY)
    logits, _ = wkv.load(shared(TINY + ".bf16.pth"))(e["in.text"][None])
    assert (logits[0] - e["out.text_logits_bf16_weights"]).abs().max() <= e["tolerance.max_abs_fp32"].item()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tiny_rwkv_4v0(suffix):
    e = expected(TINY_4)
    model = wkv.load(shared(TINY_4 + suffix))
    assert model.family == "rwkv4"
    prompt, _ = model(e["in.tokens"][None])
    text, state = model(e["in.tokens2"][None])
    tolerance = e["tolerance"].item()
    assert (prompt[0, -1] - e["out.logits"]).abs().max() <= tolerance
    assert (text[0] - e["out.logits2"]).abs().max() <= tolerance
    for layer in range(4):
        published = {name: e[f"state2.{layer}.{name}"] for name in ("att_xx", "aa", "bb", "pp", "ffn_xx")}
        ours = {name: state.tensors()[f"{name}{layer}"][0] for name in ("att_x", "wkv", "ffn_x")}
        torch.testing.assert_close(ours["att_x"], published["att_xx"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours["ffn_x"], published["ffn_xx"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours["wkv"], torch.stack([published[n] for n in ("aa", "bb", "pp")]), rtol=1e-4, atol=1e-5)


def test_tiny_rwkv_4v0_continues_as_published():
    e = expected(TINY_4)
    model = wkv.load(shared(TINY_4 + ".pth"))
    logits, state = model(e["in.greedy_prompt"][None])
    drawn = []
    for _ in range(len(e["out.greedy"])):
        drawn.append(logits[0, -1].argmax().item())
        logits, state = model(torch.tensor([drawn[-1:]]), state)
    assert drawn == e["out.greedy"].tolist()
