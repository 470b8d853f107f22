"""Compares Starling's transformer with one written in PyTorch: loss, every gradient, and 20 steps of AdamW, all in f32.

usage: parity.py FOLDER, where FOLDER holds config.json, model.safetensors (before the steps), gradients.safetensors and
case.json {sequences, length, tokens, targets, positions, document_starts, loss, losses, learning_rate}.
"""
import json
import math
import struct
import sys

import torch

torch.set_num_threads(1)


def load_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        tensors[name] = torch.frombuffer(data[begin:end], dtype=torch.float32).reshape(info["shape"]).clone()
    return tensors


def rmsnorm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x, positions, theta):  # x [B, H, T, D]
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * theta ** (-torch.arange(half, dtype=torch.float64) / half)
    cosine, sine = angles.cos().float(), angles.sin().float()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def loss_of(w, config, case):
    B, T = case["sequences"], case["length"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    D = config["hidden_size"] // heads
    shape = lambda name: torch.tensor(case[name]).reshape(B, T)
    positions, starts = shape("positions"), shape("document_starts")
    place = torch.arange(T)
    visible = (place[None, None, :] <= place[None, :, None]) & (place[None, None, :] >= starts[:, :, None])
    x = w["model.embed_tokens.weight"][shape("tokens")]
    for layer in range(config["num_hidden_layers"]):
        p = lambda name: w[f"model.layers.{layer}.{name}.weight"]
        n = rmsnorm(x, p("input_layernorm"), config["rms_norm_eps"])
        split = lambda y, count: y.reshape(B, T, count, D).transpose(1, 2)
        q = rotate(split(n @ p("self_attn.q_proj").T, heads), positions, config["rope_theta"])
        k = rotate(split(n @ p("self_attn.k_proj").T, kv_heads), positions, config["rope_theta"])
        v = split(n @ p("self_attn.v_proj").T, kv_heads)
        k, v = (y.repeat_interleave(heads // kv_heads, 1) for y in (k, v))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(D)).masked_fill(~visible[:, None], float("-inf"))
        attention = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, heads * D)
        x = x + attention @ p("self_attn.o_proj").T
        n = rmsnorm(x, p("post_attention_layernorm"), config["rms_norm_eps"])
        x = x + (torch.nn.functional.silu(n @ p("mlp.gate_proj").T) * (n @ p("mlp.up_proj").T)) @ p("mlp.down_proj").T
    x = rmsnorm(x, w["model.norm.weight"], config["rms_norm_eps"])
    logits = x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
    targets = shape("targets").reshape(-1)
    return torch.nn.functional.cross_entropy(logits.reshape(B * T, -1), targets, ignore_index=-1, reduction="sum") / (B * T)


def main(folder):
    config, case = (json.load(open(f"{folder}/{name}.json")) for name in ("config", "case"))
    weights = {name: value.requires_grad_() for name, value in load_safetensors(f"{folder}/model.safetensors").items()}
    loss = loss_of(weights, config, case)
    loss.backward()
    # f32 sums in another order: a few units of 2^-24 an operation.
    assert abs(loss.item() - case["loss"]) < 1e-5 * abs(case["loss"]), (loss.item(), case["loss"])
    for name, gradient in load_safetensors(f"{folder}/gradients.safetensors").items():
        error = (weights[name].grad - gradient).norm() / gradient.norm()
        assert error < 1e-4, (name, error.item())
    optimizer = torch.optim.AdamW(weights.values(), lr=case["learning_rate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for step, wanted in enumerate(case["losses"]):
        optimizer.zero_grad()
        loss = loss_of(weights, config, case)
        # The differences of single steps grow with the steps.
        assert abs(loss.item() - wanted) < 1e-3 * abs(wanted), (step, loss.item(), wanted)
        loss.backward()
        optimizer.step()
    print(f"loss, {len(weights)} gradients and {len(case['losses'])} steps agree; last loss {loss.item():.6f}")


main(sys.argv[1])
