"""DeiT-T in plain PyTorch with three kinds of attention, random weights: what VRWKV-T is compared with.

As timm's model with pooling by the mean: no class token, so that every model here has the same tokens and windows are
whole. The patches are multiplied by one matrix instead of convolved, as VRWKV-T's are.
"""

import math

import torch
from torch import nn
from torch.nn import functional

WIDTH, DEPTH, HEADS, PATCH, CLASSES = 192, 12, 3, 16, 1000
WINDOW = 14  # patches
TRAINED_GRID = 14


def naive_attention(q, k, v):
    """All scores in memory; q, k, v: [B, H, T, D]."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores.softmax(-1) @ v


def fused_attention(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v)


class GlobalAttention(nn.Module):
    def __init__(self, attend):
        super().__init__()
        self.qkv, self.proj, self.attend = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), attend

    def forward(self, x, grid):
        rows, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(rows, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        return self.proj(self.attend(q, k, v).transpose(1, 2).reshape(rows, tokens, WIDTH))


class WindowAttention(GlobalAttention):
    """Each window of patches by itself; zeros fill the last ones."""

    def forward(self, x, grid):
        (height, width), batch = grid, x.shape[0]
        rows, columns = math.ceil(height / WINDOW), math.ceil(width / WINDOW)
        x = x.view(batch, height, width, WIDTH)
        x = functional.pad(x, (0, 0, 0, columns * WINDOW - width, 0, rows * WINDOW - height))
        x = x.view(batch, rows, WINDOW, columns, WINDOW, WIDTH).transpose(2, 3).reshape(-1, WINDOW * WINDOW, WIDTH)
        x = super().forward(x, None).view(batch, rows, columns, WINDOW, WINDOW, WIDTH).transpose(2, 3)
        x = x.reshape(batch, rows * WINDOW, columns * WINDOW, WIDTH)[:, :height, :width]
        return x.reshape(batch, height * width, WIDTH)


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = attention
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, grid):
        x = x + self.attn(self.norm1(x), grid)
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class DeiT(nn.Module):
    """images [B, 3, H, W], whole patches, to logits; the position table is resized to the image."""

    def __init__(self, make_attention):
        super().__init__()
        self.patch_embed = nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, WIDTH, TRAINED_GRID, TRAINED_GRID))
        self.blocks = nn.ModuleList(Block(make_attention()) for _ in range(DEPTH))
        self.norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, CLASSES)

    def forward(self, images):
        batch, _, height, width = images.shape
        grid = (height // PATCH, width // PATCH)
        patches = images.view(batch, 3, grid[0], PATCH, grid[1], PATCH).permute(0, 2, 4, 1, 3, 5)
        positions = self.pos_embed
        if grid != positions.shape[2:]:
            positions = functional.interpolate(positions, size=grid, mode="bicubic", align_corners=False)
        x = self.patch_embed(patches.reshape(batch, grid[0] * grid[1], -1)) + positions.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x, grid)
        return self.head(self.norm(x).mean(1))


ATTENTION = {
    "naive": lambda: GlobalAttention(naive_attention),
    "fused": lambda: GlobalAttention(fused_attention),
    "windows": lambda: WindowAttention(fused_attention),
}


def deit(attention, dtype):
    torch.manual_seed(0)
    return DeiT(ATTENTION[attention]).to(dtype).eval()
