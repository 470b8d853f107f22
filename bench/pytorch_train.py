#!/usr/bin/env python3
"""The training step of `starling bench train` in PyTorch on the CPU, for comparison.

The same model (RMSNorm before each branch, rotary positions, SwiGLU, causal attention, no biases, an untied head),
AdamW, and a batch of random tokens. bf16 is PyTorch's autocast, which keeps weights in f32, as Starling does.

    python3 bench/pytorch_train.py --layers 6 --width 384 --heads 6 --vocab 8192 --seq 256 --batch 32 --type bf16
"""
import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), -1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        hidden = (width * 14 // 5 + 31) // 32 * 32
        self.heads = heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, cos, sin, mask):
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(self.norm1(x)).chunk(3, -1))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5 + mask
        attention = torch.softmax(scores, -1).to(v.dtype) @ v
        x = x + self.out(attention.transpose(1, 2).reshape(batch, length, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, layers, width, heads, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = RmsNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head_size = width // heads

    def forward(self, tokens, targets):
        length = tokens.shape[1]
        angles = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(0, self.head_size, 2) / self.head_size))
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, angles.cos(), angles.sin(), mask)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in dict(layers=6, width=384, heads=6, vocab=8192, seq=256, batch=32, steps=5, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--type", choices=("bf16", "f32"), default="bf16")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = Model(args.layers, args.width, args.heads, args.vocab)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95))
    tokens, targets = torch.randint(args.vocab, (2, args.batch, args.seq))
    seconds = []
    for _ in range(args.steps + 1):  # the first is a warm-up
        start = time.monotonic()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.type == "bf16"):
            loss = model(tokens, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.monotonic() - start)
    seconds = sorted(seconds[1:])
    print(json.dumps({
        "library": "PyTorch " + torch.__version__, "type": args.type, "threads": args.threads,
        "parameters": sum(p.numel() for p in model.parameters()), "loss": round(loss.item(), 3),
        "tokens_per_s": round(args.batch * args.seq / seconds[len(seconds) // 2], 1),
        "fastest_step_s": round(seconds[0], 3), "slowest_step_s": round(seconds[-1], 3)}))


if __name__ == "__main__":
    main()
