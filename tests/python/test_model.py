"""A loaded RWKV-7 gives the published implementation's numbers: logits, loss, gradients, states."""
import json

import pytest
import torch
import wkv


def relative_error(actual, expected):
    return ((actual.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-30)).item()


def dtypes(model):
    return {parameter.dtype for parameter in model.named_parameters().values()}


def logit_tolerance(fixture):
    """Four times the error of the published implementation's own fp32 run."""
    return 4 * json.loads(fixture.config.read_text())["max_abs_logit_err_fp32_vs_fp64"]


def test_logits(fixture):
    logits, _ = fixture.load()(fixture["in.idx"])
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), fixture["out.logits64"], rtol=0, atol=logit_tolerance(fixture))


def test_a_float64_model_gives_the_float64_logits(fixture):
    logits, _ = fixture.load(dtype=torch.float64)(fixture["in.idx"])
    torch.testing.assert_close(logits, fixture["out.logits64"], rtol=0, atol=1e-9)


def test_states(fixture):
    _, state = fixture.load()(fixture["in.idx"])
    expected = fixture.part("state.")
    assert state.tensors().keys() == expected.keys()
    for name, tensor in state.tensors().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)


def test_loss(fixture):
    loss = fixture.load().loss(fixture["in.idx"], fixture["in.target"])
    torch.testing.assert_close(loss.detach(), fixture["out.loss"][0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("penalty, prefix", [(0.0, "grad."), (None, "grad_l2wrap."), (1e-4, "grad_l2wrap.")])
def test_gradients(fixture, penalty, prefix):
    model = fixture.load()
    model.loss(fixture["in.idx"], fixture["in.target"], logit_penalty=penalty).backward()
    parameters = model.named_parameters()
    expected = fixture.part(prefix)
    assert len(expected) >= 3
    for name, gradient in expected.items():
        assert relative_error(parameters[name].grad, gradient) < 1e-4, name


@pytest.mark.parametrize("cuts", [[1], [3], [4], [2, 3]], ids=str)
def test_a_sequence_in_pieces_is_the_whole_one(fixture, cuts):
    model, tokens = fixture.load(), fixture["in.idx"]
    whole, last = model(tokens)
    pieces, state = [], None
    for piece in tokens.tensor_split(cuts, dim=1):
        logits, state = model(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=logit_tolerance(fixture))
    for name, tensor in state.tensors().items():
        torch.testing.assert_close(tensor, last.tensors()[name], rtol=1e-4, atol=1e-5)


def test_token_by_token_is_the_whole(fixture):
    model, state, steps = fixture.load(), None, []
    for token in fixture["in.idx"].split(1, dim=1):
        logits, state = model(token, state)
        steps.append(logits)
    logits = torch.cat(steps, 1).double()
    torch.testing.assert_close(logits, fixture["out.logits64"], rtol=0, atol=logit_tolerance(fixture))


def test_no_state_is_the_initial_state(tiny):
    model, tokens = tiny.load(), tiny["in.idx"]
    assert torch.equal(model(tokens)[0], model(tokens, model.initial_state(2))[0])


def test_no_tokens_give_no_logits_and_keep_the_state(tiny):
    model = tiny.load()
    _, state = model(tiny["in.idx"])
    logits, same = model(torch.empty(2, 0, dtype=torch.int64), state)
    assert logits.shape == (2, 0, 50)
    for name, tensor in same.tensors().items():
        assert torch.equal(tensor, state.tensors()[name])


def test_what_a_model_tells_of_itself(tiny):
    model = tiny.load()
    assert model.family == "rwkv7"
    assert model.config | {"n_layer": 3, "n_embd": 64, "head_size": 16, "vocab": 50} == model.config
    assert not model.training and model.train().training and not model.eval().training


def test_parameters_have_the_published_names_and_are_live_leaves(tiny):
    model = tiny.load()
    parameters = model.named_parameters()
    assert parameters.keys() == tiny.weights.keys() == model.state_dict().keys()
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in parameters.values())
    assert parameters["head.weight"] is model.named_parameters()["head.weight"]
    before = model(tiny["in.idx"])[0]
    with torch.no_grad():
        parameters["head.weight"].mul_(2)
    torch.testing.assert_close(model(tiny["in.idx"])[0], 2 * before)


def test_a_state_dict_is_detached_and_shares_memory(tiny):
    model = tiny.load()
    tensor = model.state_dict()["head.weight"]
    assert not tensor.requires_grad
    assert tensor.data_ptr() == model.named_parameters()["head.weight"].data_ptr()


def test_the_file_never_changes(tiny):
    content = tiny.path.read_bytes()
    with torch.no_grad():
        for parameter in tiny.load().named_parameters().values():
            parameter.zero_()
    assert tiny.path.read_bytes() == content


def test_dtype_is_the_parameters(tiny):
    model = tiny.load(dtype=torch.bfloat16)
    assert dtypes(model) == {torch.bfloat16}
    logits, _ = model(tiny["in.idx"])
    assert logits.dtype == torch.float32
    assert relative_error(logits, tiny["out.logits64"]) < 0.1
    assert dtypes(model.to(dtype=torch.float64)) == {torch.float64}


def test_a_float64_file_stays_float64(tiny, tmp_path):
    torch.save({name: tensor.double() for name, tensor in tiny.weights.items()}, tmp_path / "m.pth")
    assert dtypes(wkv.load(tmp_path / "m.pth")) == {torch.float64}


def test_config_may_be_a_dict_or_a_path_and_a_folder_brings_its_own(tiny, tmp_path):
    config = json.loads(tiny.config.read_text()) | {"ln_x_eps": 1e-3}
    assert wkv.load(tiny.path, config=config).config["ln_x_eps"] == 1e-3
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert wkv.load(tiny.path, config=tmp_path / "config.json").config["ln_x_eps"] == 1e-3
    (tmp_path / "model.safetensors").write_bytes(tiny.path.read_bytes())
    assert wkv.load(tmp_path).config["ln_x_eps"] == 1e-3


def test_a_pth_file(tiny, tmp_path):
    torch.save(tiny.weights, tmp_path / "m.pth")
    assert torch.equal(wkv.load(tmp_path / "m.pth")(tiny["in.idx"])[0], tiny.load()(tiny["in.idx"])[0])


def test_other_threads_run_while_a_model_computes(tiny):
    import threading

    model, tokens = tiny.load(), tiny["in.idx"].repeat(64, 40)
    ticks, done = 0, threading.Event()

    def tick():
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    model(tokens)
    done.set()
    thread.join()
    assert ticks > 5


@pytest.mark.parametrize("call, error, message", [
    (lambda m, t: m(t["in.idx"].int()), ValueError, "tokens must be int64 [B, T], got Int [2, 24]"),
    (lambda m, t: m([[1, 2]]), RuntimeError, "value of type 'Tensor' for argument 'tokens'"),
    (lambda m, t: m(t["in.idx"] + 1000), ValueError, "tokens must be in 0..49"),
    (lambda m, t: m(t["in.idx"], m.initial_state(3)), ValueError, "state's entry 0 must be att_x0 [2, 64]"),
    (lambda m, t: m.to(dtype=torch.int64), ValueError, "expected a floating-point one, got Long"),
    (lambda m, t: wkv.load("no-such-model.pth"), FileNotFoundError, "no-such-model.pth"),
    (lambda m, t: wkv.load(t.path, config="no-such-config.json"), FileNotFoundError, "no-such-config.json"),
    (lambda m, t: wkv.load(t.path, config={"n_layer": 7}), ValueError, "n_layer"),
    (lambda m, t: wkv.load(t.path, family="rwkv99"), ValueError, "rwkv99"),
    (lambda m, t: wkv.load(t.config), RuntimeError, "tiny.json"),
], ids=range(10))
def test_errors_are_clear(tiny, call, error, message):
    with pytest.raises(error) as caught:
        call(tiny.load(), tiny)
    assert message in str(caught.value)
    assert "Exception raised from" not in str(caught.value)


def test_what_does_not_fit_is_named_at_once(tiny, tmp_path):
    weights = dict(tiny.weights)
    del weights["ln_out.bias"]
    weights["blocks.1.att.a0"] = torch.zeros(3)
    torch.save(weights, tmp_path / "m.pth")
    with pytest.raises(ValueError) as caught:
        wkv.load(tmp_path / "m.pth")
    assert "missing: ln_out.bias" in str(caught.value) and "mis-shaped: blocks.1.att.a0" in str(caught.value)


def test_a_model_is_not_pickled(tiny):
    import pickle

    with pytest.raises(TypeError, match="state_dict"):
        pickle.dumps(tiny.load())
