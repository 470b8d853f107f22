"""Compares Starling's transformer with one written in PyTorch: loss, every gradient, and 200 steps of AdamW, all in f32.

usage: parity.py FOLDER [--save FILE ARCHITECTURE], where FOLDER holds config.json, model.safetensors (before the steps), gradients.safetensors and
case.json {sequences, length, positions, document_starts, batches [{tokens, targets}] (one a step), losses, bf16_losses,
learning_rate}. With --save PyTorch's losses become the entry ARCHITECTURE of FILE, for machines without PyTorch:
test/oracle/losses.json, made by
    STARLING_SAVE_ORACLE=test/oracle/losses.json build/release/test/oracle_test --gtest_filter=*PyTorch*
"""
import json
import math
import pathlib
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


def frequencies(config, D):
    """Written after Hugging Face's description of rope_scaling, in double."""
    plain = config["rope_theta"] ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    scaling = config.get("rope_scaling")
    if not scaling:
        return plain, 1.0
    factor, kind = scaling["factor"], scaling["rope_type"]
    if kind == "linear":
        return plain / factor, 1.0
    original = scaling["original_max_position_embeddings"]
    if kind == "llama3":
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        wave = 2 * math.pi / plain
        smooth = (original / wave - low) / (high - low)
        middle = (1 - smooth) * plain / factor + smooth * plain
        return torch.where(wave < original / high, plain, torch.where(wave > original / low, plain / factor, middle)), 1.0
    assert kind == "yarn", kind
    pair = lambda turns: D * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config["rope_theta"]))
    low, high = max(math.floor(pair(scaling["beta_fast"])), 0), min(math.ceil(pair(scaling["beta_slow"])), D - 1)
    stretched = ((torch.arange(D // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    return plain * (1 - stretched) + plain / factor * stretched, 0.1 * math.log(factor) + 1


def rotate(x, positions, config):  # x [B, H, T, D]
    half = x.shape[-1] // 2
    per_position, magnitude = frequencies(config, 2 * half)
    angles = positions[:, None, :, None] * per_position
    cosine, sine = (magnitude * angles.cos()).float(), (magnitude * angles.sin()).float()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def feed_forward(n, gate, up, down):
    return (torch.nn.functional.silu(n @ gate.T) * (n @ up.T)) @ down.T


def mixture(n, p, config):
    """Every expert of every token, those not chosen with weight 0; and E sum_e f_e P_e (arXiv:2101.03961)."""
    count = config["num_local_experts"]
    probability = (n @ p("block_sparse_moe.gate").T).softmax(-1)
    largest, chosen = probability.topk(config["num_experts_per_tok"], -1)
    weight = torch.zeros_like(probability).scatter(-1, chosen, largest / largest.sum(-1, keepdim=True))
    share = torch.zeros_like(probability).scatter(-1, chosen, 1.0).flatten(0, -2).mean(0)
    parts = (f"block_sparse_moe.experts.{e}." for e in range(count))
    outputs = torch.stack([feed_forward(n, p(part + "w1"), p(part + "w3"), p(part + "w2")) for part in parts], -1)
    return (outputs * weight[..., None, :]).sum(-1), count * (share * probability.flatten(0, -2).mean(0)).sum()


def grok1_mixture(n, w, config):
    count = config["num_experts"]
    probability = (n @ w("moe_block.gate.weight").T).softmax(-1)
    largest, chosen = probability.topk(config["num_experts_per_tok"], -1)
    y = 0
    for e in range(count):
        gate, up, down = (w(f"moe_block.experts.{e}.{part}.weight") for part in ("linear", "linear_v", "linear_1"))
        of_expert = (torch.nn.functional.gelu(n @ gate.T, approximate="tanh") * (n @ up.T)) @ down.T
        y = y + of_expert * (largest * (chosen == e)).sum(-1, keepdim=True)
    share = torch.stack([(chosen == e).any(-1).float().mean() for e in range(count)])
    return y, count * (share * probability.flatten(0, -2).mean(0)).sum()


def attention(n, project, positions, visible, config):
    """Before the output matrix; project(n, "q") and so on."""
    B, T = positions.shape
    heads, kv_heads, D = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    split = lambda y, count: y.reshape(B, T, count, D).transpose(1, 2)
    q = rotate(split(project(n, "q"), heads), positions, config)
    k = rotate(split(project(n, "k"), kv_heads), positions, config)
    v = split(project(n, "v"), kv_heads)
    k, v = (y.repeat_interleave(heads // kv_heads, 1) for y in (k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(D)
    if cap := config.get("max_attn_value"):
        scores = cap * torch.tanh(scores / cap)
    scores = scores.masked_fill(~visible[:, None], float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, heads * D)


def llama_block(x, w, positions, visible, config):
    """The block's output and its routers' imbalance."""
    p = lambda name: w(name + ".weight")
    n = rmsnorm(x, p("input_layernorm"), config["rms_norm_eps"])
    project = lambda n, name: n @ p(f"self_attn.{name}_proj").T + w(f"self_attn.{name}_proj.bias", 0)
    x = x + attention(n, project, positions, visible, config) @ p("self_attn.o_proj").T
    n = rmsnorm(x, p("post_attention_layernorm"), config["rms_norm_eps"])
    if "num_local_experts" in config:
        y, imbalance = mixture(n, p, config)
        return x + y, imbalance
    return x + feed_forward(n, p("mlp.gate_proj"), p("mlp.up_proj"), p("mlp.down_proj")), 0.0


def grok1_block(x, w, positions, visible, config):
    norm = lambda y, name: rmsnorm(y, w(name + ".scale"), config["rms_norm_eps"])
    project = lambda n, name: n @ w(f"attn.{name}_proj.weight").T
    mixed = attention(norm(x, "pre_attn_norm"), project, positions, visible, config)
    x = x + norm(mixed @ w("attn.o_proj.weight").T, "post_attn_norm")
    y, imbalance = grok1_mixture(norm(x, "pre_moe_norm"), w, config)
    return x + norm(y, "post_moe_norm"), imbalance


def loss_of(w, config, case, batch):
    """The mean of the nats, and what the routers add to it."""
    B, T = case["sequences"], case["length"]
    shape = lambda values: torch.tensor(values).reshape(B, T)
    positions, starts = shape(case["positions"]), shape(case["document_starts"])
    place = torch.arange(T)
    visible = (place[None, None, :] <= place[None, :, None]) & (place[None, None, :] >= starts[:, :, None])
    if config.get("sliding_window"):
        visible &= place[None, :, None] - place[None, None, :] < config["sliding_window"]
    grok1 = config["model_type"] == "grok-1"
    x = w["model.embed_tokens.weight"][shape(batch["tokens"])] * config.get("embedding_multiplier_scale", 1)
    imbalance, layers = 0.0, config["num_hidden_layers"]
    for layer in range(layers):
        of_block = lambda name, *otherwise: w.get(f"model.layers.{layer}.{name}", *otherwise)
        x, of_layer = (grok1_block if grok1 else llama_block)(x, of_block, positions, visible, config)
        imbalance = imbalance + of_layer / layers
    x = rmsnorm(x, w["model.norm." + ("scale" if grok1 else "weight")], config["rms_norm_eps"])
    logits = x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T * config.get("output_multiplier_scale", 1)
    targets = shape(batch["targets"]).reshape(-1)
    nats = torch.nn.functional.cross_entropy(logits.reshape(B * T, -1), targets, ignore_index=-1, reduction="sum") / (B * T)
    return nats, config.get("router_aux_loss_coef", 0) * imbalance * (targets >= 0).sum() / (B * T)


def save_losses(path, architecture, losses):
    """One line an architecture, so that a changed one shows as such."""
    path = pathlib.Path(path)
    stored = json.loads(path.read_text())["losses"] if path.exists() else {}
    stored[architecture] = [round(loss, 6) for loss in losses]
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in sorted(stored.items()))
    path.write_text(f'{{"made_with": "PyTorch {torch.__version__}", "losses": {{\n{rows}\n}}}}\n')


def main(folder, save=None, path=None, architecture=None):
    config, case = (json.load(open(f"{folder}/{name}.json")) for name in ("config", "case"))
    weights = {name: value.requires_grad_() for name, value in load_safetensors(f"{folder}/model.safetensors").items()}
    batches, losses = case["batches"], case["losses"]
    sum(loss_of(weights, config, case, batches[0])).backward()
    for name, gradient in load_safetensors(f"{folder}/gradients.safetensors").items():
        error = (weights[name].grad - gradient).norm() / gradient.norm()
        assert error < 1e-4, (name, error.item())
    optimizer = torch.optim.AdamW(weights.values(), lr=case["learning_rate"], betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    oracle = []
    for step in range(len(losses)):
        optimizer.zero_grad()
        nats, of_routers = loss_of(weights, config, case, batches[step])
        (nats + of_routers).backward()
        optimizer.step()
        oracle.append(nats.item())
    worst = max(abs(a - b) for a, b in zip(oracle, losses))
    # f32 sums in another order: a few units of 2^-24 an operation, which the steps add up.
    assert worst < 1e-4, f"losses differ by up to {worst}: {oracle[-3:]} and {losses[-3:]}"
    if save == "--save":
        save_losses(path, architecture, oracle)
    bf16 = [abs(a - b) / a for a, b in zip(oracle, case["bf16_losses"])]
    # bf16 keeps 8 bits, 0.4 % a rounding: single losses scatter about the f32 curve, their mean does not drift from it.
    # With experts rounding also turns close choices over, which moves a single loss more; Grok-1's norms of small outputs
    # enlarge their rounding.
    assert max(bf16) < (0.04 if "num_experts_per_tok" in config else 0.02), f"a bf16 loss is off by {max(bf16):.2%}"
    drift = abs(sum(case["bf16_losses"]) / sum(oracle) - 1)
    assert drift < (0.004 if config["model_type"] == "grok-1" else 0.002), f"the bf16 curve drifts by {drift:.3%}"
    print(f"{len(weights)} gradients agree; {len(losses)} losses from {oracle[0]:.4f} to {oracle[-1]:.4f} within {worst:.1e}; "
          f"bf16 within {max(bf16):.2%}, mean within {drift:.3%}")


main(*sys.argv[1:])
