"""Language models in plain PyTorch to compare training with: RWKV-7 with its recurrence as a loop, and LLaMA's form of
attention. Tokens [B, T] -> logits [B, T, V]."""

import math

import torch
from torch import nn
from torch.nn.functional import layer_norm, normalize, pad, rms_norm, scaled_dot_product_attention, silu

HEAD_NORM_EPS = 64e-5


def wkv7_loop(r, decay, k, v, a, b):
    """One token after the other, as the published description has it; the state is fp32."""
    B, T, H, N = r.shape
    state = torch.zeros(B, H, N, N, device=r.device)
    r, decay, k, v, a, b = (x.float() for x in (r, decay, k, v, a, b))
    outputs = []
    for t in range(T):
        removed = state @ a[:, t, :, :, None]
        state = (
            state * decay[:, t, :, None, :] + removed @ b[:, t, :, None, :] + v[:, t, :, :, None] @ k[:, t, :, None, :]
        )
        outputs.append(state @ r[:, t, :, :, None])
    return torch.stack(outputs, 1).squeeze(-1)


class RWKV7Loop(nn.Module):
    """The parameters are those of a libwkv model, by their published names."""

    def __init__(self, parameters: dict[str, torch.Tensor], layers: int, recurrence=wkv7_loop):
        super().__init__()
        self.weights = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(x.detach().clone()) for name, x in parameters.items()}
        )
        self.layers, self.recurrence = layers, recurrence

    def get(self, *name):
        return self.weights["/".join(name).replace(".", "/")]

    def norm(self, x, name):
        return layer_norm(x, x.shape[-1:], self.get(name, "weight"), self.get(name, "bias"))

    def forward(self, tokens):
        x, first_v = self.norm(self.get("emb.weight")[tokens], "blocks.0.ln0"), None
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            y, first_v = self.time_mix(self.norm(x, f"{block}.ln1"), f"{block}.att", first_v)
            x = x + y
            x = x + self.channel_mix(self.norm(x, f"{block}.ln2"), f"{block}.ffn")
        return self.norm(x, "ln_out") @ self.get("head.weight").T

    def time_mix(self, h, att, first_v):
        def low_rank(x, part, activation=lambda x: x):
            return activation(x @ self.get(att, f"{part}1")) @ self.get(att, f"{part}2")

        heads = self.get(att, "r_k").shape[0]
        change = pad(h, (0, 0, 1, -1)) - h
        x_r, x_w, x_k, x_v, x_a, x_g = (h + change * self.get(att, f"x_{part}") for part in "rwkvag")
        r, k, v = (
            x @ self.get(att, name, "weight").T for x, name in ((x_r, "receptance"), (x_k, "key"), (x_v, "value"))
        )
        decay = torch.exp(-math.exp(-0.5) * (self.get(att, "w0") + low_rank(x_w, "w", torch.tanh)).float().sigmoid())
        if first_v is None:
            first_v = v
        else:
            v = v + (first_v - v) * (self.get(att, "v0") + low_rank(x_v, "v")).sigmoid()
        a = (self.get(att, "a0") + low_rank(x_a, "a")).sigmoid()
        gate = low_rank(x_g, "g", torch.sigmoid)
        removed = normalize((k * self.get(att, "k_k")).unflatten(-1, (heads, -1)), dim=-1)
        k = k * (1 + (a - 1) * self.get(att, "k_a"))
        r, decay, k, v_heads, a = (x.unflatten(-1, (heads, -1)) for x in (r, decay, k, v, a))
        y = self.recurrence(r, decay, k, v_heads, -removed, removed * a)
        y = layer_norm(y, y.shape[-1:], eps=HEAD_NORM_EPS).flatten(2)
        y = y * self.get(att, "ln_x.weight") + self.get(att, "ln_x.bias")
        y = y + ((r * k * self.get(att, "r_k")).sum(-1, keepdim=True) * v_heads).flatten(2)
        return (y * gate) @ self.get(att, "output.weight").T, first_v

    def channel_mix(self, h, ffn):
        x = h + (pad(h, (0, 0, 1, -1)) - h) * self.get(ffn, "x_k")
        return (x @ self.get(ffn, "key.weight").T).relu().square() @ self.get(ffn, "value.weight").T


def rotary_table(length, size):
    angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, size, 2) / size))
    return angles.cos()[:, None], angles.sin()[:, None]


def rotated(x, table):
    """x: [B, T, H, D]; the pairs are the first and the second half."""
    cos, sin = table
    x1, x2 = x.chunk(2, -1)
    return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return rms_norm(x, x.shape[-1:], self.weight, 1e-5)


class AttentionBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.heads = heads

    def forward(self, x, table):
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        q, k, v = (part.transpose(1, 2) for part in (rotated(q, table).to(v.dtype), rotated(k, table).to(v.dtype), v))
        x = x + self.out(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(silu(gate) * up)


class AttentionModel(nn.Module):
    """Pre-norm, rotary positions, SwiGLU, no biases, untied head; attention through PyTorch's fused kernel."""

    def __init__(self, vocab, layers, width, heads, inner, longest):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, inner) for _ in range(layers))
        self.norm, self.head = RMSNorm(width), nn.Linear(width, vocab, bias=False)
        for i, part in enumerate(rotary_table(longest, width // heads)):
            self.register_buffer(f"rotary_{i}", part, persistent=False)

    def forward(self, tokens):
        table = [part[: tokens.shape[1]] for part in (self.rotary_0, self.rotary_1)]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, table)
        return self.head(self.norm(x))
