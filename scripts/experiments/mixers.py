"""What mixes the tokens of a sequence, as layers of PyTorch on libwkv's operators: [B, T, C] -> [B, T, C].

`state` of a mixer is the count of numbers that it carries from token to token, the token shift included. The time mixes
of RWKV are those of layer 1 of 2, with the published initial values of all but the matrices.
"""

import math

import torch
from torch import nn
from torch.nn.functional import normalize, scaled_dot_product_attention

import wkv.ops

LAYERS, LAYER = 2, 1
DEPTH, REST = LAYER / (LAYERS - 1), 1 - LAYER / LAYERS  # r01 and r10 of the published initial values
RANK = 32  # of low-rank projections: the least that the published rule gives
HEAD_NORM_EPS = 64e-5


def heads(x, count):
    return x.unflatten(-1, (count, -1))


class GatedConvolution(nn.Module):
    """conv3(x) * linear(x) + x."""

    def __init__(self, width, kernel=3):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1, kernel).uniform_(-1, 1) / math.sqrt(kernel))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-1, 1) / math.sqrt(kernel))
        self.gate = nn.Linear(width, width)
        self.state = kernel * width

    def forward(self, x):
        return wkv.ops.short_conv(x, self.weight, self.bias)[0] * self.gate(x) + x


class Attention(nn.Module):
    """One head over all tokens, or over the last `window` ones, the token itself included."""

    def __init__(self, width, length, window=None, dropout=0.0):
        super().__init__()
        self.qkv, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.window, self.dropout = window, dropout
        self.state = 2 * width * min(length, window or length)

    def forward(self, x):
        q, k, v = self.qkv(x).unsqueeze(2).chunk(3, -1)
        if self.window is not None:
            y = wkv.ops.sliding_window_attention(q, k, v, self.window - 1)[0]
        else:
            q, k, v = (part.transpose(1, 2) for part in (q, k, v))
            dropout = self.dropout if self.training else 0.0
            y = scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True).transpose(1, 2)
        return self.out_proj(y.flatten(2))


class Based(nn.Module):
    """Linear attention with the features of exp's Taylor series, one head."""

    def __init__(self, width, features):
        super().__init__()
        self.q, self.k = (nn.Linear(width, features, bias=False) for _ in range(2))
        self.v, self.out_proj = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.state = (1 + features + features * (features + 1) // 2) * (width + 1)

    def forward(self, x):
        q, k, v = (heads(part(x), 1) for part in (self.q, self.k, self.v))
        return self.out_proj(wkv.ops.based_linear_attention(q, k, v)[0].flatten(2))


class TimeMix(nn.Module):
    """What RWKV-4, 6 and 7 share: token shift, and the matrices of receptance, key, value and output."""

    def __init__(self, width):
        super().__init__()
        self.receptance, self.key, self.value, self.out_proj = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.place = torch.arange(width) / width  # of a channel, in [0, 1)
        self.place_to_end = torch.arange(width) / (width - 1)  # in [0, 1]
        self.zigzag = 0.5 * ((torch.arange(width) + 1) % 3 - 1)

    def shifted(self, x):
        return nn.functional.pad(x, (0, 0, 1, -1))


class RWKV4(TimeMix):
    def __init__(self, width):
        super().__init__(width)
        self.decay = nn.Parameter(-5 + 8 * self.place_to_end ** (0.7 + 1.3 * DEPTH))
        self.first = nn.Parameter(math.log(0.3) + self.zigzag)
        self.mix_k = nn.Parameter(self.place**REST)
        self.mix_v = nn.Parameter(self.place**REST + 0.3 * DEPTH)
        self.mix_r = nn.Parameter(self.place ** (0.5 * REST))
        self.state = 4 * width

    def forward(self, x):
        before = self.shifted(x)
        k, v, r = (
            matrix(torch.lerp(before, x, mix))
            for matrix, mix in ((self.key, self.mix_k), (self.value, self.mix_v), (self.receptance, self.mix_r))
        )
        return self.out_proj(r.sigmoid() * wkv.ops.wkv4(self.decay, self.first, k, v)[0])


class MatrixState(TimeMix):
    """Of RWKV-6 and 7: heads, whose outputs are normalised one by one."""

    def __init__(self, width, head_size):
        super().__init__(width)
        self.heads = width // head_size
        self.norm_weight = nn.Parameter(torch.full((width,), ((1 + LAYER) / LAYERS) ** 0.7))
        self.norm_bias = nn.Parameter(torch.zeros(width))
        self.state = width * head_size + width

    def normalised(self, y):
        y = nn.functional.layer_norm(y, y.shape[-1:], eps=HEAD_NORM_EPS)
        return torch.addcmul(self.norm_bias, y.flatten(2), self.norm_weight)


class RWKV6(MatrixState):
    def __init__(self, width, head_size):
        super().__init__(width, head_size)
        self.gate = nn.Linear(width, width, bias=False)
        mixes = {
            "w": self.place**REST,
            "k": self.place**REST,
            "v": self.place**REST + 0.3 * DEPTH,
            "r": self.place ** (0.5 * REST),
            "g": self.place ** (0.5 * REST),
        }
        self.mix_x = nn.Parameter(1 - self.place**REST)
        self.mixes = nn.Parameter(1 - torch.stack(list(mixes.values()))[:, None, None])
        self.mix_1 = nn.Parameter(torch.zeros(width, 5 * RANK))
        self.mix_2 = nn.Parameter(torch.empty(5, RANK, width).uniform_(-0.01, 0.01))
        self.decay = nn.Parameter(-6 + 5 * self.place_to_end ** (0.7 + 1.3 * DEPTH))
        self.decay_1 = nn.Parameter(torch.zeros(width, RANK))
        self.decay_2 = nn.Parameter(torch.empty(RANK, width).uniform_(-0.01, 0.01))
        self.first = nn.Parameter(DEPTH * (1 - self.place_to_end) + 0.2 * self.zigzag)

    def forward(self, x):
        change = self.shifted(x) - x
        low = heads(torch.addcmul(x, change, self.mix_x).matmul(self.mix_1).tanh(), 5).permute(2, 0, 1, 3)
        x_w, x_k, x_v, x_r, x_g = x + change * (self.mixes + low @ self.mix_2[:, None])
        w = self.decay + (x_w @ self.decay_1).tanh() @ self.decay_2
        inputs = (self.receptance(x_r), self.key(x_k), self.value(x_v), w, self.first)
        y = wkv.ops.wkv6(*(heads(part, self.heads) for part in inputs))[0]
        return self.out_proj(self.normalised(y) * nn.functional.silu(self.gate(x_g)))


class RWKV7(MatrixState):
    """As of a first layer: no value of a layer before it is mixed in."""

    def __init__(self, width, head_size):
        super().__init__(width, head_size)
        linear = self.place_to_end - 0.5
        position = torch.arange(width) % head_size
        z = (position - (head_size - 1) / 2) / ((head_size - 1) / 2)
        zigzag = z * z.abs()
        powers = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
        self.mixes = nn.Parameter(
            1 - torch.stack([self.place ** (power * REST) for power in powers.values()])[:, None, None]
        )
        self.w0 = nn.Parameter(-6 + 6 * self.place_to_end ** (1 + DEPTH**0.3) + 0.5 + 2.5 * zigzag)
        self.a0 = nn.Parameter(-0.19 + 0.3 * zigzag + 0.4 * linear)
        for part in "wag":
            up = torch.empty(RANK, width)
            nn.init.orthogonal_(up, 0.1 * max(1, math.sqrt(RANK / width)))
            self.register_parameter(f"{part}1", nn.Parameter(torch.zeros(width, RANK)))
            self.register_parameter(f"{part}2", nn.Parameter(up))
        self.k_k = nn.Parameter(0.71 - 0.1 * linear)
        self.k_a = nn.Parameter(torch.full((width,), 1.02))
        self.r_k = nn.Parameter(torch.full((self.heads, head_size), -0.04))

    def forward(self, x):
        x_r, x_w, x_k, x_v, x_a, x_g = x + (self.shifted(x) - x) * self.mixes
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        log_decay = -math.exp(-0.5) * (self.w0 + (x_w @ self.w1).tanh() @ self.w2).sigmoid()
        a = (self.a0 + x_a @ self.a1 @ self.a2).sigmoid()
        gate = (x_g @ self.g1).sigmoid() @ self.g2
        removed = normalize(heads(k * self.k_k, self.heads), dim=-1)
        k = k * (1 + (a - 1) * self.k_a)
        r, log_decay, k, v, a = (heads(part, self.heads) for part in (r, log_decay, k, v, a))
        y = wkv.ops.wkv7(r, log_decay, k, v, -removed, removed * a, log_decay=True)[0]
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v
        return self.out_proj((self.normalised(y) + bonus.flatten(2)) * gate)
