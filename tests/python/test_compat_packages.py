"""flash-linear-attention and transformers themselves, on a CPU through wkv.compat; each test skips without its package.

pip install flash-linear-attention transformers einops
"""

import importlib
import inspect
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from compat_loops import assert_same, random, sequences

import wkv
from wkv.compat import fla, gated_delta_rule, gla, kda

pytestmark = pytest.mark.filterwarnings("ignore")  # that library warns of the missing GPU and of RWKV itself

B, T, VOCABULARY = 2, 21, 40


@contextmanager
def enabled(package):
    wkv.compat.enable(package)
    try:
        yield
    finally:
        wkv.compat.disable(package)


def assert_equal_training(ours, reference):
    """(logits, gradients by name) twice."""
    torch.testing.assert_close(ours[0], reference[0], rtol=1e-5, atol=1e-5)
    assert ours[1].keys() == reference[1].keys()
    largest = max(gradient.abs().max() for gradient in reference[1].values())
    for name, expected in reference[1].items():
        scale = max(expected.abs().max(), 1e-3 * largest)
        assert (ours[1][name] - expected).abs().max() <= 1e-4 * scale, name


def train_step(model, tokens, **inputs):
    """The logits and every gradient of the next token's loss."""
    model.zero_grad()
    logits = model(tokens, **inputs).logits
    F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    return logits.detach(), {name: x.grad.clone() for name, x in model.named_parameters()}


def perturbed(model):
    """No parameter at 0 or 1, where what it multiplies would not be seen."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def tokens(time=T, rows=B):
    return torch.randint(VOCABULARY, (rows, time), generator=torch.Generator().manual_seed(1))


# --- flash-linear-attention: functions ---


@pytest.fixture(scope="module")
def fla_package():
    return pytest.importorskip("fla", reason="needs flash-linear-attention", exc_type=ImportError)


@pytest.mark.parametrize(
    "module, name",
    [
        ("rwkv4", "fused_recurrent_rwkv4"),
        ("rwkv6", "chunk_rwkv6"),
        ("rwkv6", "fused_recurrent_rwkv6"),
        ("rwkv7", "chunk_rwkv7"),
        ("rwkv7", "fused_recurrent_rwkv7"),
        ("rwkv7", "fused_mul_recurrent_rwkv7"),
    ],
)
def test_a_function_has_flas_arguments(module, name):
    pytest.importorskip("fla", minversion="0.6", reason="needs flash-linear-attention 0.6", exc_type=ImportError)
    theirs = getattr(importlib.import_module(f"fla.ops.{module}"), name)
    arguments = lambda f: [(x.name, x.default, x.kind) for x in inspect.signature(f).parameters.values()]
    assert arguments(getattr(fla, name)) == arguments(theirs)


def head_first(function):
    """The naive forms of RWKV have the heads before the time."""

    def call(*sequences, initial_state, **options):
        sequences = [x.transpose(1, 2) if x.dim() == 4 else x for x in sequences]
        o, state = function(*sequences, initial_state=initial_state, output_final_state=True, **options)
        return o.transpose(1, 2), state

    return call


def naive_rwkv6(r, k, v, w, u, initial_state):
    from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6

    return head_first(naive_recurrent_rwkv6)(r, k, v, w, u, initial_state=initial_state, scale=1.0)


def naive_rwkv7(r, w, k, v, a, b, initial_state):
    from fla.ops.generalized_delta_rule.dplr.naive import dplr_recurrence

    r = r * r.shape[-1] ** 0.5  # the naive form divides by it
    return head_first(dplr_recurrence)(r, k, v, a, b, w, initial_state=initial_state)


def naive_gated_delta_rule(**x):
    from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule

    return naive_recurrent_gated_delta_rule(**x, output_final_state=True)


def naive_kda(**x):
    from fla.ops.kda.naive import naive_recurrent_kda

    return naive_recurrent_kda(**x, output_final_state=True)


def naive_gla(g, **x):
    from fla.ops.gla.naive import naive_recurrent_gla

    return naive_recurrent_gla(**x, gk=g, output_final_state=True)


def float32(inputs):
    return {name: x.float() for name, x in inputs.items()}


STATE = {"initial_state": random(B, 2, 4, 6, seed=20)}
GATES = {"g": -random(B, 7, 2, 4, seed=21).exp(), "beta": random(B, 7, 2, seed=22).sigmoid()}
RWKV6 = sequences("rkv") | {"w": GATES["g"], "u": random(2, 4, seed=23)} | STATE
RWKV7 = sequences("rkvab") | {"w": GATES["g"]} | STATE
DELTA = sequences("qkv") | STATE
NAIVE = {
    "chunk_rwkv6": (fla.chunk_rwkv6, naive_rwkv6, RWKV6, {"scale": 1.0}),
    "fused_recurrent_rwkv6": (fla.fused_recurrent_rwkv6, naive_rwkv6, RWKV6, {"scale": 1.0}),
    "chunk_rwkv7": (fla.chunk_rwkv7, naive_rwkv7, RWKV7, {}),
    "fused_recurrent_rwkv7": (fla.fused_recurrent_rwkv7, naive_rwkv7, RWKV7, {"scale": 1.0}),
    "gated_delta_rule": (gated_delta_rule, naive_gated_delta_rule, DELTA | GATES | {"g": GATES["g"][..., 0]}, {}),
    "kda": (kda, naive_kda, DELTA | GATES, {}),
    "gla": (gla, naive_gla, DELTA | {"g": GATES["g"]}, {}),
}


@pytest.mark.parametrize("name", NAIVE)
def test_a_function_equals_flas_naive_form(fla_package, name):
    function, naive, inputs, options = NAIVE[name]
    assert_same(lambda **x: function(**x, **options, output_final_state=True), naive, float32(inputs), tolerance=1e-5)


# --- flash-linear-attention: models ---


def fla_model(name, **config):
    from fla.models import RWKV6Config, RWKV6ForCausalLM, RWKV7Config, RWKV7ForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCABULARY} | config
    torch.manual_seed(0)
    if name == "rwkv6":
        return perturbed(RWKV6ForCausalLM(RWKV6Config(**sizes, num_heads=2)))
    return perturbed(RWKV7ForCausalLM(RWKV7Config(**sizes, head_dim=16)))


def naive_parts(monkeypatch, model):
    """Puts that library's own reference functions where its models call GPU kernels."""
    from fla.layers import rwkv6, rwkv7
    from fla.models.rwkv6 import modeling_rwkv6
    from fla.models.rwkv7 import modeling_rwkv7
    from fla.modules import layernorm
    from fla.modules.token_shift import token_shift_ref
    from fla.ops.rwkv7.fused_addcmul import torch_addcmul_rwkv7
    from fla.ops.rwkv7.fused_k_update import k_update_ref
    from fla.ops.rwkv7.gate_output_correction import gate_output_correction_ref

    def shift(x, cu_seqlens=None, output_cache=False, cache=None):
        delta = token_shift_ref(x, cu_seqlens)
        return (delta, None) if output_cache else delta

    def attention(r, w, k, v, a, b, **options):
        return naive_rwkv7(r, w, k, v, a, b, None)

    def recurrent_rwkv6(r, k, v, w, u, **options):
        return naive_rwkv6(r, k, v, w, u, None)

    def norm(function):
        return lambda *x, residual_in_fp32=False, is_rms_norm=False, **options: function(*x, **options)

    replacements = [
        (layernorm, "layer_norm", norm(layernorm.layer_norm_ref)),
        (layernorm, "group_norm", norm(layernorm.group_norm_ref)),
        (rwkv7, "l2_norm", lambda x: F.normalize(x, dim=-1)),
        (rwkv7, "fused_addcmul_rwkv7", torch_addcmul_rwkv7),
        (rwkv7, "fused_k_rwkv7", k_update_ref),
        (rwkv7, "gate_output_correction", gate_output_correction_ref),
        (rwkv7, "chunk_rwkv7", attention),
        (rwkv6, "chunk_rwkv6", recurrent_rwkv6),
        (rwkv6, "fused_recurrent_rwkv6", recurrent_rwkv6),
    ]
    replacements += [(module, "token_shift", shift) for module in (rwkv6, rwkv7, modeling_rwkv6, modeling_rwkv7)]
    for module, name, replacement in replacements:
        monkeypatch.setattr(module, name, replacement)
    for layer in model.model.layers:
        layer.ffn.act_fn = lambda x: F.relu(x).square()
        layer.attn.gate_fn = F.silu


@pytest.mark.parametrize("fuse_norm", [True, False])
@pytest.mark.parametrize("name", ["rwkv6", "rwkv7"])
def test_a_fla_model_trains_as_with_flas_naive_functions(fla_package, monkeypatch, name, fuse_norm):
    with enabled("fla"):
        ours = train_step(fla_model(name, fuse_norm=fuse_norm), tokens())
    reference = fla_model(name, fuse_norm=fuse_norm)
    naive_parts(monkeypatch, reference)
    assert_equal_training(ours, train_step(reference, tokens()))


@pytest.fixture(params=["rwkv6", "rwkv7"])
def model(fla_package, request):
    with enabled("fla"):
        yield fla_model(request.param).eval()


@torch.no_grad()
def test_a_fla_model_goes_on_from_its_cache(model):
    x = tokens(time=80)
    whole, pieces, cache = model(x).logits, [], None
    for piece in x.split([9, 1, 70], dim=1):
        output = model(piece, past_key_values=cache, use_cache=True)
        pieces.append(output.logits)
        cache = output.past_key_values
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_fla_model_keeps_packed_sequences_apart(model):
    x = tokens(rows=1)
    packed = model(x, cu_seqlens=torch.tensor([0, 8, T])).logits
    alone = torch.cat([model(x[:, :8]).logits, model(x[:, 8:]).logits], 1)
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_fla_model_does_not_see_padding_on_the_left(model):
    x = tokens()
    mask = torch.arange(T).expand(B, T) >= 5
    padded = model(x, attention_mask=mask.long()).logits[:, 5:]
    torch.testing.assert_close(padded, model(x[:, 5:]).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fused", ["fuse_cross_entropy", "fuse_linear_cross_entropy"])
def test_the_fused_losses_of_fla_are_the_cross_entropy(fla_package, fused):
    losses = {"fuse_cross_entropy": False, "fuse_linear_cross_entropy": False}
    results = []
    with enabled("fla"):
        for config in (losses, losses | {fused: True}):
            model = fla_model("rwkv7", use_l2warp=True, **config)
            loss = model(tokens(), labels=tokens()).loss
            loss.backward()
            results.append((loss, *(x.grad for x in model.parameters())))
    for ours, expected in zip(*results[::-1], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_a_fla_model_trains_in_bfloat16(model):
    loss = model.bfloat16()(tokens(), labels=tokens()).loss
    loss.backward()
    assert all(x.grad.dtype == torch.bfloat16 and x.grad.isfinite().all() for x in model.parameters())


# --- transformers ---


@pytest.fixture
def rwkv4():
    transformers = pytest.importorskip("transformers", reason="needs transformers", exc_type=ImportError)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": VOCABULARY}
    return perturbed(transformers.RwkvForCausalLM(transformers.RwkvConfig(**sizes, context_length=64)))


def test_rwkv4_of_transformers_trains_as_with_its_own_loop(rwkv4):
    rwkv4.train()
    reference = train_step(rwkv4, tokens())
    with enabled("transformers"):
        ours = train_step(rwkv4, tokens())
    assert_equal_training(ours, reference)


@torch.no_grad()
def test_rwkv4_of_transformers_goes_on_from_its_state(rwkv4):
    x = tokens()
    whole, pieces, state = rwkv4.eval()(x).logits, [], None
    with enabled("transformers"):
        for piece in x.split([9, 12], dim=1):
            output = rwkv4(piece, state=state, use_cache=True)
            pieces.append(output.logits)
            state = output.state
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-5, atol=1e-5)
    assert state[4].dtype == torch.float32


def test_rwkv4_of_transformers_generates_as_with_its_own_loop(rwkv4):
    prompt, options = tokens(rows=1), {"max_new_tokens": 8, "do_sample": False}
    expected = rwkv4.eval().generate(prompt, **options)
    with enabled("transformers"):
        assert torch.equal(rwkv4.generate(prompt, **options), expected)
