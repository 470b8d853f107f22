"""An independent forward pass of a Llama, Mistral, Mixtral, Qwen2 or Grok-1 model in PyTorch, f32, for parity tests.

usage: llama_reference.py MODEL_FOLDER TOKEN...
Prints one line a token: the logits. Sources of the equations: Touvron et al. 2023, arXiv:2302.13971; Grok-1's model.py,
github.com/xai-org/grok-1; stretched ropes: Llama 3.1's reference code, and Peng et al. 2023, arXiv:2309.00071.
"""
import json
import math
import struct
import sys

import torch


def read_safetensors(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        assert entry["dtype"] == "F32"
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).reshape(entry["shape"])
    return tensors


def rmsnorm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def stretched(plain, theta, scaling):  # frequencies, and the factor of cos and sin
    kind = scaling["rope_type"]
    if kind == "linear":
        return plain / scaling["factor"], 1.0
    original = scaling["original_max_position_embeddings"]
    if kind == "llama3":  # by the length of a wave: as it is, stretched, or between the two
        slow, fast = (original / scaling[f"{name}_freq_factor"] for name in ("low", "high"))
        frequencies = []
        for f in plain.tolist():
            wave = 2 * math.pi / f
            share = (original / wave - scaling["low_freq_factor"]) / (scaling["high_freq_factor"] - scaling["low_freq_factor"])
            between = (1 - share) * f / scaling["factor"] + share * f
            frequencies.append(f if wave < fast else f / scaling["factor"] if wave > slow else between)
        return torch.tensor(frequencies, dtype=torch.float64), 1.0
    assert kind == "yarn"
    d = 2 * len(plain)
    pair = lambda turns: d * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(math.floor(pair(scaling["beta_fast"])), 0), min(math.ceil(pair(scaling["beta_slow"])), d - 1)
    ramp = ((torch.arange(len(plain), dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain / scaling["factor"] * ramp + plain * (1 - ramp), 0.1 * math.log(scaling["factor"]) + 1


def rotate(x, theta, scaling=None):  # x [heads, T, d]; pairs (i, i + d/2); scaling: rope_scaling of config.json
    T, d = x.shape[-2:]
    frequency, size = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d), 1.0
    if scaling:
        frequency, size = stretched(frequency, theta, scaling)
    angle = torch.outer(torch.arange(T, dtype=torch.float64), frequency).float()
    first, second = x[..., : d // 2], x[..., d // 2 :]
    cos, sin = angle.cos() * size, angle.sin() * size
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def feed_forward(n, gate, up, down):
    return (torch.nn.functional.silu(n @ gate.T) * (n @ up.T)) @ down.T


def mixture(n, w, config):  # token by token
    rows = []
    for token in n:
        logits = w("block_sparse_moe.gate") @ token
        chosen = logits.sort(descending=True).indices[: config["num_experts_per_tok"]]
        expert = lambda e: (w(f"block_sparse_moe.experts.{e}.{part}") for part in ("w1", "w3", "w2"))
        weights = torch.softmax(logits[chosen], 0)
        rows.append(sum(weight * feed_forward(token, *expert(e)) for weight, e in zip(weights, chosen.tolist())))
    return torch.stack(rows)


def grok1_mixture(n, w, config):
    rows = []
    for token in n:
        probability, chosen = torch.softmax(w("moe_block.gate.weight") @ token, 0).topk(config["num_experts_per_tok"])
        row = 0
        for weight, e in zip(probability, chosen.tolist()):
            gate, up, down = (w(f"moe_block.experts.{e}.{part}.weight") for part in ("linear", "linear_v", "linear_1"))
            hidden = torch.nn.functional.gelu(gate @ token, approximate="tanh") * (up @ token)
            row = row + weight * (down @ hidden)
        rows.append(row)
    return torch.stack(rows)


def grok1_forward(config, weights, tokens):
    heads, kv_heads, eps = config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    T, cap = len(tokens), config["max_attn_value"]
    x = weights["model.embed_tokens.weight"][tokens] * config["embedding_multiplier_scale"]
    hidden = torch.ones(T, T).triu(1).bool()
    for layer in range(config["num_hidden_layers"]):
        w = lambda name: weights[f"model.layers.{layer}.{name}"]
        n = rmsnorm(x, w("pre_attn_norm.scale"), eps)
        q, k, v = ((n @ w(f"attn.{name}_proj.weight").T).reshape(T, count, -1).transpose(0, 1)
                   for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
        q, k = (rotate(y, config["rope_theta"]) for y in (q, k))
        k, v = (y.repeat_interleave(heads // kv_heads, dim=0) for y in (k, v))
        scores = q @ k.transpose(1, 2) * config["attn_output_multiplier"]
        scores = (cap * torch.tanh(scores / cap)).masked_fill(hidden, float("-inf"))
        attention = (torch.softmax(scores, -1) @ v).transpose(0, 1).reshape(T, -1)
        x = x + rmsnorm(attention @ w("attn.o_proj.weight").T, w("post_attn_norm.scale"), eps)
        mixed = grok1_mixture(rmsnorm(x, w("pre_moe_norm.scale"), eps), w, config)
        x = x + rmsnorm(mixed, w("post_moe_norm.scale"), eps)
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return rmsnorm(x, weights["model.norm.scale"], eps) @ weights[head].T * config["output_multiplier_scale"]


def forward(config, weights, tokens):
    if config["model_type"] == "grok-1":
        return grok1_forward(config, weights, tokens)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    d, eps = config["head_dim"], config["rms_norm_eps"]
    rope = config["rope_theta"], config["rope_scaling"]
    T = len(tokens)
    x = weights["model.embed_tokens.weight"][tokens]
    mask = torch.full((T, T), float("-inf")).triu(1)
    if config.get("sliding_window"):
        mask += torch.full((T, T), float("-inf")).tril(-config["sliding_window"])
    for layer in range(config["num_hidden_layers"]):
        w = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        n = rmsnorm(x, w("input_layernorm"), eps)
        split = lambda y, count: y.reshape(T, count, d).transpose(0, 1)
        project = lambda name: n @ w(name).T + weights.get(f"model.layers.{layer}.{name}.bias", 0)
        q = rotate(split(project("self_attn.q_proj"), heads), *rope)
        k = rotate(split(project("self_attn.k_proj"), kv_heads), *rope)
        v = split(project("self_attn.v_proj"), kv_heads)
        k, v = (y.repeat_interleave(heads // kv_heads, dim=0) for y in (k, v))
        attention = torch.softmax(q @ k.transpose(1, 2) / d**0.5 + mask, dim=-1) @ v
        x = x + attention.transpose(0, 1).reshape(T, -1) @ w("self_attn.o_proj").T
        n = rmsnorm(x, w("post_attention_layernorm"), eps)
        if "num_local_experts" in config:
            x = x + mixture(n, w, config)
        else:
            x = x + feed_forward(n, w("mlp.gate_proj"), w("mlp.up_proj"), w("mlp.down_proj"))
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return rmsnorm(x, weights["model.norm.weight"], eps) @ weights[head].T


if __name__ == "__main__":
    torch.set_num_threads(1)
    config = json.load(open(sys.argv[1] + "/config.json"))
    logits = forward(config, read_safetensors(sys.argv[1] + "/model.safetensors"), [int(t) for t in sys.argv[2:]])
    for row in logits.tolist():
        print(" ".join(repr(value) for value in row))
