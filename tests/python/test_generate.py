"""Tokenizers and generated text."""
import pytest
import torch
import wkv
from conftest import shared


@pytest.fixture(scope="module")
def model():
    return wkv.load("embedded")


@pytest.fixture(scope="module")
def tokenizer():
    return wkv.tokenizer("bytes")


def test_bytes_tokens_are_bytes(tokenizer):
    assert (tokenizer.name, tokenizer.vocab_size) == ("bytes", 256)
    assert tokenizer.encode("Grüße") == list("Grüße".encode())
    assert tokenizer.encode(b"\xff\x00\xfe") == [255, 0, 254]


@pytest.mark.parametrize("tokens", [[255, 0, 254], [], torch.tensor([65, 66])], ids=str)
def test_decode_gives_any_bytes(tokenizer, tokens):
    assert tokenizer.decode(tokens) == bytes(list(tokens))


def test_a_world_vocabulary_by_its_path():
    world = wkv.tokenizer(shared("data/tokenizers/rwkv_vocab_v20230424.txt"))
    text = "Eine Katze 🐱 saß da.\n"
    assert world.name == "world" and world.decode(world.encode(text)) == text.encode()
    assert len(world.encode(text)) < len(text.encode())


@pytest.mark.parametrize("name, file, tokens", [
    ("gpt-neox-20b", "20B_tokenizer.json", [510, 5068, 273, 253, 1533]),
    ("gpt2", "gpt2_merges.txt", [464, 3726, 286, 262, 995]),
], ids=["gpt-neox-20b", "gpt2"])
def test_byte_level_bpe_by_its_path_and_its_name(monkeypatch, name, file, tokens):
    path = shared("data/tokenizers") / file
    monkeypatch.setenv("WKV_TOKENIZERS", str(path.parent))
    for tokenizer in (wkv.tokenizer(path), wkv.tokenizer(name)):
        assert tokenizer.name == name
        assert tokenizer.encode("The beginning of the world") == tokens
        assert tokenizer.decode(tokens) == b"The beginning of the world"


@pytest.mark.parametrize("call, error, message", [
    (lambda t: t.decode([256]), ValueError, "256"),
    (lambda t: wkv.tokenizer("no-such-tokenizer"), (ValueError, RuntimeError), "no-such-tokenizer"),
], ids=["decode", "name"])
def test_tokenizer_errors_are_clear(tokenizer, call, error, message):
    with pytest.raises(error, match=message):
        call(tokenizer)


def greedy(model, tokenizer, prompt="In the", **options):
    return wkv.generate(model, tokenizer, prompt, **{"max_tokens": 20, "temperature": 0.0} | options)


def test_greedy_text_is_the_most_probable_one(model, tokenizer):
    tokens = tokenizer.encode("In the")
    for _ in range(20):
        logits, _ = model(torch.tensor([tokens]))
        tokens.append(logits[0, -1].argmax().item())
    expected = bytes(tokens[6:]).decode(errors="replace")
    assert greedy(model, tokenizer) == expected


def test_a_stream_gives_the_text_in_pieces(model, tokenizer):
    stream = greedy(model, tokenizer, stream=True)
    first = next(stream)
    assert isinstance(first, str) and first
    rest = list(stream)
    assert len(rest) > 1 and first + "".join(rest) == greedy(model, tokenizer)


def test_the_seed_decides(model, tokenizer):
    def text(seed):
        return wkv.generate(model, tokenizer, "In the", max_tokens=30, seed=seed)

    assert text(1) == text(1) != text(2)
    assert text(None) != text(None)


@pytest.mark.parametrize("as_list", [False, True])
def test_it_ends_before_a_stop_string(model, tokenizer, as_list):
    whole = greedy(model, tokenizer)
    stop = whole[8:11]
    assert greedy(model, tokenizer, stop=[stop, "\0"] if as_list else stop) == whole[: whole.index(stop)]


def test_it_goes_on_from_a_state(model, tokenizer):
    _, state = model(torch.tensor([tokenizer.encode("In t")]))
    assert greedy(model, tokenizer, "he", state=state) == greedy(model, tokenizer)


def test_a_prompt_of_bytes(model, tokenizer):
    assert greedy(model, tokenizer, b"In the") == greedy(model, tokenizer)


def test_no_tokens_give_no_text(model, tokenizer):
    assert greedy(model, tokenizer, max_tokens=0) == ""


def test_the_model_is_kept_while_a_stream_lives(tokenizer):
    stream = greedy(wkv.load("embedded"), wkv.tokenizer("bytes"), stream=True)
    assert "".join(stream) == greedy(wkv.load("embedded"), tokenizer)


BAD_OPTIONS = {"temperature": -1.0, "top_p": 2.0, "top_k": -1, "max_tokens": -1, "stop": ""}


@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_bad_options_are_refused_at_once(model, tokenizer, option):
    with pytest.raises(ValueError, match=option):
        greedy(model, tokenizer, stream=True, **{option: BAD_OPTIONS[option]})


def test_a_tokenizer_that_does_not_fit_is_refused(tiny, tokenizer):
    with pytest.raises(ValueError, match="does not fit the model"):
        greedy(tiny.load(), tokenizer)


def test_the_embedded_model_is_listed():
    assert [card["name"] for card in wkv.list_models("embedded")] == ["kjv-rwkv7"]
