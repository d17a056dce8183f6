"""wkv.compat without the packages that it stands in for: every call against the loop that defines it."""

import compat_loops as loops
import pytest
import torch
import torch.nn.functional as F
from compat_loops import assert_same, random, sequences, zero_state

from wkv.compat import fla, fla_models, gated_delta_rule, gla, kda, training, transformers

B, T, H, N = 2, 7, 2, 4
C = H * N


# --- the published training code ---


def heads(x):
    return x.unflatten(-1, (H, N))


def rwkv5_loop(r, k, v, w, u):
    decay = torch.exp(-torch.exp(w)).expand(B, T, H, N)
    return loops.wkv6(heads(r), heads(k), heads(v), decay, u, torch.zeros(B, H, N, N))[0].flatten(2)


def rwkv6_loop(r, k, v, w, u, s=None):
    decay = torch.exp(-torch.exp(heads(w)))
    state = torch.zeros(B, H, N, N) if s is None else s.mT.expand(B, H, N, N)  # theirs is [value, key]
    return loops.wkv6(heads(r), heads(k), heads(v), decay, u, state)[0].flatten(2)


def rwkv7_loop(q, w, k, v, a, b):
    q, decay, k, v, a, b = (heads(x) for x in (q, torch.exp(-torch.exp(w)), k, v, a, b))
    return loops.wkv7(q, decay, k, v, a, b, zero_state(k, v))[0].flatten(2)


def clamped_rwkv7_loop(r, w, k, v, a, b):
    return rwkv7_loop(r, -F.softplus(-w) - 0.5, k, v, a, b)


def channels(names, **others):
    return {name: random(B, T, C, seed=i) for i, name in enumerate(names)} | others


W, U, HEADS_W, HEADS_U = random(C, seed=10), random(C, seed=11), random(H, N, seed=12), random(H, N, seed=13)
TRAINING = {
    "rwkv4": (lambda **x: training.RUN_CUDA_RWKV4(B, T, C, **x), loops.wkv4, channels("kv", w=W, u=U)),
    "rwkv5": (
        lambda **x: training.RUN_CUDA_RWKV5(B, T, C, H, **x),
        rwkv5_loop,
        channels("rkv", w=HEADS_W, u=HEADS_U),
    ),
    "rwkv6": (lambda **x: training.RUN_CUDA_RWKV6(B, T, C, H, **x), rwkv6_loop, channels("rkvw", u=HEADS_U)),
    "rwkv6 from a state": (
        lambda **x: training.RUN_CUDA_RWKV6_STATE(B, T, C, H, **x),
        rwkv6_loop,
        channels("rkvw", u=HEADS_U, s=random(H, N, N, seed=14)),
    ),
    "rwkv6 from a state a sequence": (
        lambda **x: training.RUN_CUDA_RWKV6_STATE(B, T, C, H, **x),
        rwkv6_loop,
        channels("rkvw", u=HEADS_U, s=random(B, H, N, N, seed=14)),
    ),
    "rwkv7": (lambda **x: training.RUN_CUDA_RWKV7g(**x, head_size=N), rwkv7_loop, channels("qwkvab")),
    "rwkv7 clamped": (
        lambda **x: training.RWKV7_CLAMPW_CUDA(**x, head_size=N),
        clamped_rwkv7_loop,
        channels("rwkvab"),
    ),
}


@pytest.mark.parametrize("case", TRAINING)
def test_a_call_of_the_training_code_is_its_recurrence(case):
    assert_same(*TRAINING[case])


def test_the_head_size_of_rwkv7_is_64():
    x = {name: torch.randn(1, 3, 128) * 0.1 for name in "qwkvab"}
    y = training.RUN_CUDA_RWKV7(*x.values())
    expected = torch.ops.wkv.wkv7(*(t.view(1, 3, 2, 64) for t in x.values()))[0]
    assert torch.equal(y, expected.view(1, 3, 128))


def test_training_in_bfloat16_with_float32_decays_keeps_each_dtype():
    r, k, v = (torch.randn(B, T, C).bfloat16().requires_grad_() for _ in range(3))
    w, u = (torch.randn(H, N).requires_grad_() for _ in range(2))
    y = training.RUN_CUDA_RWKV5(B, T, C, H, r, k, v, w, u)
    y.sum().backward()
    assert (y.dtype, r.grad.dtype, w.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)


# --- flash-linear-attention's functions ---


def log_decay(x):
    return -F.softplus(x)


def fla_loop(loop, scale):
    """The loop with that library's arguments: w is the logarithm of the decay."""
    return lambda r, w, initial_state, **x: loop(r * scale, decay=w.exp(), state=initial_state, **x)


def fused_mul_loop(r, decay, k, v, kk, a, state):
    return loops.wkv7(r, decay, k, v, -kk, kk * a, state)


RWKV6 = sequences("rkvw") | {"u": HEADS_U, "initial_state": random(B, H, N, N + 2, seed=20)}
RWKV7 = sequences("rwkvab") | {"initial_state": random(B, H, N, N + 2, seed=20)}
MUL_RWKV7 = {"kk" if name == "b" else name: x for name, x in RWKV7.items()}
FLA = {
    "chunk_rwkv6": (loops.wkv6, RWKV6, N**-0.5),
    "fused_recurrent_rwkv6": (loops.wkv6, RWKV6, N**-0.5),
    "chunk_rwkv7": (loops.wkv7, RWKV7, 1.0),
    "fused_recurrent_rwkv7": (loops.wkv7, RWKV7, N**-0.5),
    "fused_mul_recurrent_rwkv7": (fused_mul_loop, MUL_RWKV7, 1.0),
}


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("name", FLA)
def test_a_function_of_fla_is_its_recurrence(name, scale):
    loop, inputs, default_scale = FLA[name]
    options = {"output_final_state": True} | ({} if scale is None else {"scale": scale})
    ours = lambda w, **x: getattr(fla, name)(w=log_decay(w), **x, **options)
    theirs = fla_loop(loop, scale or default_scale)
    assert_same(ours, lambda w, **x: theirs(w=log_decay(w), **x), inputs)


@pytest.mark.parametrize("name", FLA)
def test_a_function_of_fla_gives_no_state_unless_asked(name):
    inputs = {key: x for key, x in FLA[name][1].items() if key != "initial_state"}
    assert getattr(fla, name)(**inputs | {"w": log_decay(inputs["w"])}, output_final_state=False)[1] is None


@pytest.mark.parametrize("name", FLA)
def test_packed_sequences_are_what_they_are_alone(name):
    inputs = FLA[name][1] | {"w": log_decay(FLA[name][1]["w"])}
    rows = lambda row: {key: x if key == "u" else x[row : row + 1] for key, x in inputs.items()}
    packed = {key: x if x.dim() == 2 or key == "initial_state" else x.flatten(0, 1)[None] for key, x in inputs.items()}
    o, state = getattr(fla, name)(**packed, output_final_state=True, cu_seqlens=torch.tensor([0, T, 2 * T]))
    for row in range(B):
        o_row, state_row = getattr(fla, name)(**rows(row), output_final_state=True)
        torch.testing.assert_close(o[:, row * T : (row + 1) * T], o_row)
        torch.testing.assert_close(state[row : row + 1], state_row)


@pytest.mark.parametrize("name", ["fused_recurrent_rwkv6", "fused_mul_recurrent_rwkv7"])
@pytest.mark.parametrize("cu_seqlens", [None, torch.tensor([0, 3, T])])
def test_reverse_runs_every_sequence_from_its_end(name, cu_seqlens):
    inputs = {key: x if key == "u" else x[:1] for key, x in FLA[name][1].items()}
    inputs |= {"w": log_decay(inputs["w"]), "initial_state": random(1 if cu_seqlens is None else 2, H, N, N + 2)}
    function = getattr(fla, name)
    o, state = function(**inputs, output_final_state=True, reverse=True, cu_seqlens=cu_seqlens)
    bounds = [0, T] if cu_seqlens is None else cu_seqlens.tolist()
    for i, (start, end) in enumerate(zip(bounds, bounds[1:])):
        flipped = {key: x if key == "u" else x[:, start:end].flip(1) for key, x in inputs.items()}
        flipped["initial_state"] = inputs["initial_state"][i : i + 1]
        o_one, state_one = function(**flipped, output_final_state=True)
        torch.testing.assert_close(o[:, start:end], o_one.flip(1))
        torch.testing.assert_close(state[i : i + 1], state_one)


def test_rwkv4_of_fla_goes_on_from_its_state():
    inputs = channels("kv", w=W, u=U)
    empty = torch.zeros(B, 3, 1, C, dtype=torch.float64)
    empty[:, 2] = -1e38

    def in_two_calls(w, u, k, v):
        first, state = fla.fused_recurrent_rwkv4(w, u, k[:, :3], v[:, :3], empty)
        assert state.shape == empty.shape
        return torch.cat([first, fla.fused_recurrent_rwkv4(w, u, k[:, 3:], v[:, 3:], state)[0]], 1)

    assert_same(in_two_calls, loops.wkv4, inputs)


@pytest.mark.parametrize("name", FLA)
def test_a_function_of_fla_compiles_into_one_graph(name):
    inputs = FLA[name][1] | {"w": log_decay(FLA[name][1]["w"])}
    function = getattr(fla, name)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**inputs, output_final_state=True), function(**inputs, output_final_state=True))


def test_states_come_out_in_float32():
    inputs = {key: x.bfloat16() for key, x in RWKV7.items()}
    o, state = fla.fused_recurrent_rwkv7(**inputs | {"w": log_decay(inputs["w"])})
    assert (o.dtype, state.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("argument", ["head_first", "chunksize"])
def test_an_argument_that_fla_does_not_have_is_refused(argument):
    with pytest.raises(TypeError, match=f"chunk_rwkv6: unexpected argument {argument}"):
        fla.chunk_rwkv6(**RWKV6, **{argument: True})


# --- the delta rule's family ---


def gated_delta_loop(g, k, beta, **x):
    return loops.delta_rule(k=k, decay=g.exp()[..., None], beta=beta, **x)


def kda_loop(g, **x):
    return loops.delta_rule(decay=g.exp(), **x)


def gla_loop(q, k, v, g, state):
    zeros = torch.zeros_like(k)
    return loops.wkv7(q, g.exp(), k, v, zeros, zeros, state)


def delta_inputs(gate_shape):
    x = sequences("qkv") | {"g": random(*gate_shape, seed=5), "initial_state": random(B, H, N, N + 2, seed=6)}
    return x | {"beta": random(B, T, H, seed=7).sigmoid()}


GLA_INPUTS = {name: x for name, x in delta_inputs((B, T, H, N)).items() if name != "beta"}
DELTA_RULES = {
    "gated_delta_rule": (gated_delta_rule, gated_delta_loop, delta_inputs((B, T, H))),
    "kda": (kda, kda_loop, delta_inputs((B, T, H, N))),
    "gla": (gla, gla_loop, GLA_INPUTS),
}


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("name", DELTA_RULES)
def test_the_delta_rule_is_its_recurrence(name, scale):
    function, loop, inputs = DELTA_RULES[name]
    ours = lambda g, **x: function(g=log_decay(g), **x, scale=scale, output_final_state=True)
    theirs = lambda q, g, initial_state, **x: loop(q=q * (scale or N**-0.5), g=log_decay(g), state=initial_state, **x)
    assert_same(ours, theirs, inputs)


@pytest.mark.parametrize("function", [gated_delta_rule, kda])
def test_heads_of_q_and_k_serve_several_heads_of_v(function):
    gate = (B, T, 3 * H) if function is gated_delta_rule else (B, T, 3 * H, N)
    inputs = {"q": random(B, T, H, N), "k": random(B, T, H, N, seed=1), "v": random(B, T, 3 * H, N, seed=2)}
    inputs |= {"g": log_decay(random(*gate, seed=3)), "beta": random(B, T, 3 * H, seed=4).sigmoid()}
    repeated = lambda q, k, **x: function(q.repeat_interleave(3, 2), k.repeat_interleave(3, 2), **x)[0]
    assert_same(lambda **x: function(**x)[0], repeated, inputs)


def test_the_delta_rule_normalizes_q_and_k_on_request():
    inputs = delta_inputs((B, T, H)) | {"g": log_decay(random(B, T, H, seed=5))}
    normalized = lambda q, k, **x: gated_delta_rule(
        q / (q.square().sum(-1, keepdim=True) + 1e-6).sqrt(), k / (k.square().sum(-1, keepdim=True) + 1e-6).sqrt(), **x
    )[0]
    assert_same(lambda **x: gated_delta_rule(**x, use_qk_l2norm_in_kernel=True)[0], normalized, inputs)


# --- transformers' function ---


def test_rwkv_linear_attention_goes_on_from_its_state():
    def in_two_calls(w, u, k, v):
        first, state = transformers.rwkv_linear_attention(w, u, k[:, :3], v[:, :3], return_state=True)
        rest, state = transformers.rwkv_linear_attention(w, u, k[:, 3:], v[:, 3:], state=state)
        assert [x.shape for x in state] == [(B, C)] * 3
        return torch.cat([first, rest], 1)

    assert_same(in_two_calls, loops.wkv4, channels("kv", w=W, u=U))


def test_rwkv_linear_attention_gives_no_state_unless_asked():
    assert transformers.rwkv_linear_attention(W, U, random(B, T, C), random(B, T, C))[1] is None


# --- what fla's models need besides the recurrence ---


def shift_loop(x, cache):
    return torch.cat([cache[:, None], x[:, :-1]], 1) - x, x[:, -1]


def test_token_shift_is_the_difference_to_the_step_before():
    inputs = {"x": random(B, T, C), "cache": random(B, C, seed=1)}
    assert_same(lambda **x: fla_models.token_shift(**x, output_cache=True), shift_loop, inputs)


def test_packed_token_shift_is_that_of_each_sequence_and_an_empty_one_keeps_its_cache():
    x, cache = random(1, T, C), random(3, C, seed=1)
    delta, last = fla_models.token_shift(x, torch.tensor([0, 3, 3, T]), cache=cache, output_cache=True)
    first, third = shift_loop(x[:, :3], cache[:1]), shift_loop(x[:, 3:], cache[2:])
    torch.testing.assert_close(delta, torch.cat([first[0], third[0]], 1))
    torch.testing.assert_close(last, torch.cat([first[1], cache[1:2], third[1]]))


def test_token_shift_without_a_cache_starts_from_zeros():
    x = random(B, T, C)
    assert torch.equal(fla_models.token_shift(x), shift_loop(x, torch.zeros(B, C))[0])


@pytest.mark.parametrize("groups", [1, 2])
def test_group_norm_normalizes_the_sum_with_the_residual(groups):
    inputs = {name: random(B * T, C, seed=i) for i, name in enumerate(("x", "residual"))} | {"weight": W, "bias": U}
    expected = lambda x, residual, weight, bias: (F.group_norm(x + residual, groups, weight, bias), x + residual)
    assert_same(lambda **x: fla_models.group_norm(**x, prenorm=True, num_groups=groups), expected, inputs)


def test_the_loss_of_a_linear_layer_is_the_cross_entropy_with_the_penalty_in_the_gradient_only():
    inputs = {"x": random(5, C), "weight": random(11, C, seed=1)}
    target = torch.tensor([3, 0, -100, 10, 3])
    loss = lambda **x: fla_models.fused_linear_cross_entropy_loss(**x, target=target, use_l2warp=True)
    x, weight = (inputs[name].clone().requires_grad_() for name in ("x", "weight"))
    logits = x @ weight.T
    logits.retain_grad()
    expected = F.cross_entropy(logits, target)
    expected.backward()
    largest, index = logits.detach().max(-1, keepdim=True)
    penalized = logits.grad.scatter_add(-1, index, largest * 1e-4 / 5)
    leaves = {name: t.clone().requires_grad_() for name, t in inputs.items()}
    value = loss(**leaves)
    value.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(leaves["x"].grad, penalized @ inputs["weight"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(leaves["weight"].grad, penalized.T @ inputs["x"], rtol=1e-9, atol=1e-12)


def test_the_loss_of_no_target_at_all_is_zero():
    ignored = torch.full((5,), -100)
    assert fla_models.fused_linear_cross_entropy_loss(random(5, C), ignored, random(11, C)) == 0


def test_logits_are_scaled_and_capped_before_the_loss():
    logits = random(3, 5, scale=4)
    torch.testing.assert_close(fla_models.transformed_logits(logits, 2.0, 3.0), 3 * (2 * logits / 3).tanh())
