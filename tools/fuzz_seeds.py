#!/usr/bin/env python3
"""Seeds for the fuzz targets: small valid inputs, one folder a target.

usage: fuzz_seeds.py FOLDER
"""
import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def gguf_text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(tensor_type=0, block_bytes=128, version=3):
    """One tensor [1, 32] or [1, 256] and one key of every kind that models have."""
    columns = 256 if tensor_type >= 10 else 32
    keys = [
        gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama"),
        gguf_text("general.alignment") + struct.pack("<II", 4, 32),
        gguf_text("llama.block_count") + struct.pack("<II", 4, 1),
        gguf_text("llama.rope.freq_base") + struct.pack("<If", 6, 10000.0),
        gguf_text("tokenizer.ggml.add_bos_token") + struct.pack("<IB", 7, 1),
        gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + gguf_text("a") + gguf_text("b"),
        gguf_text("tokenizer.ggml.scores") + struct.pack("<IIQff", 9, 6, 2, 0.0, 1.0),
        gguf_text("tokenizer.ggml.token_type") + struct.pack("<IIQii", 9, 5, 2, 1, 3),
    ]
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(keys)) + b"".join(keys)
    head += gguf_text("output.weight") + struct.pack("<IQQIQ", 2, columns, 1, tensor_type, 0)
    return head + b"\0" * (-len(head) % 32) + bytes(range(256))[:block_bytes].ljust(block_bytes, b"\1")


def gguf_list(name, kind, values):
    return gguf_text(name) + struct.pack("<IIQ", 9, kind, len(values)) + b"".join(values)


def gguf_vocabulary(model, tokens, types, **more):
    """No tensors: the vocabulary alone. more: pre, merges, scores, and the numbers of tokens."""
    keys = [gguf_text("tokenizer.ggml.model") + struct.pack("<I", 8) + gguf_text(model),
            gguf_list("tokenizer.ggml.tokens", 8, [gguf_text(token) for token in tokens]),
            gguf_list("tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in types])]
    for name, value in more.items():
        key = "tokenizer.ggml." + name
        if name == "pre":
            keys.append(gguf_text(key) + struct.pack("<I", 8) + gguf_text(value))
        elif name == "merges":
            keys.append(gguf_list(key, 8, [gguf_text(merge) for merge in value]))
        elif name == "scores":
            keys.append(gguf_list(key, 6, [struct.pack("<f", score) for score in value]))
        elif isinstance(value, bool):
            keys.append(gguf_text(key) + struct.pack("<IB", 7, value))
        else:
            keys.append(gguf_text(key) + struct.pack("<II", 4, value))
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + b"".join(keys)
    return head + b"\0" * (32 + -len(head) % 32)


def byte_alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def gguf_vocabularies():
    merges = ["h e", "l l", "he ll", "\u0120 w"]
    tokens = byte_alphabet() + [merge.replace(" ", "") for merge in merges] + ["<|end|>", "<tool_call>", "[PAD0]"]
    types = [1] * 260 + [3, 4, 5]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["\u2581", "h", "e", "\u2581h", "<tool>"]
    return [gguf_vocabulary("gpt2", tokens, types, pre=pre, merges=merges, bos_token_id=260, add_bos_token=begin)
            for pre, begin in (("llama-bpe", True), ("qwen2", False), ("smollm", False), ("tekken", True))] + [
        gguf_vocabulary("llama", pieces, [2, 3, 3] + [6] * 256 + [1] * 4 + [4], scores=[-float(i) for i in range(264)],
                        eos_token_id=2)]


def safetensors(tensors):
    """tensors: name -> (dtype, shape, bytes)."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def byte_level_tokenizer():
    vocabulary = {chr(c): i for i, c in enumerate(range(33, 127))}
    vocabulary |= {"\u0120": 94, "he": 95, "ll": 96, "hell": 97, "\u0120w": 98}
    return {
        "version": "1.0",
        "added_tokens": [{"id": 99, "content": "<|endoftext|>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["h e", "l l", "he ll", "\u0120 w"]},
    }


def sentencepiece_tokenizer():
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary |= {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    vocabulary |= {piece: 259 + i for i, piece in enumerate(["\u2581", "h", "e", "\u2581h", "\u2581he"])}
    return {
        "added_tokens": [{"id": 1, "content": "<s>", "special": True}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "vocab": vocabulary,
                  "merges": ["\u2581 h", "\u2581h e"]},
    }


SCHEMAS = [
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0,
     "maximum": 150}}, "required": ["name"], "additionalProperties": False},
    {"type": "array", "items": {"anyOf": [{"const": 1}, {"enum": ["a", "b\n"]}, {"type": "null"}]}, "minItems": 1,
     "maxItems": 3},
    {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"},
    {"type": "string", "pattern": "^[a-f]{2,4}\\d+$"},
    {"type": "number", "multipleOf": 0.01, "exclusiveMaximum": 10},
    {"type": "string", "format": "date-time"},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}}, {"properties": {"b": {"type": "string"}}}]},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "propertyNames": {"maxLength": 3}},
]

CHAT = {"model": "own", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
    {"type": "text", "text": "Hello"}]}], "max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "stop": ["\n"], "n": 2,
    "logit_bias": {"5": -100}, "logprobs": True, "top_logprobs": 3, "seed": 1, "stream": True,
    "stream_options": {"include_usage": True}}
TOOLS = CHAT | {"tools": [{"type": "function", "function": {"name": "look", "description": "d", "parameters": SCHEMAS[0]}}],
                "tool_choice": "auto"}
SCHEMA_CHAT = CHAT | {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMAS[0]}}}
TEXT = {"model": "own", "prompt": [[1, 5, 7], [2]], "echo": True, "logprobs": 2, "max_tokens": 3}

MAIL = """From a@example.org Mon Sep  2 12:00:00 2002
From: =?utf-8?q?caf=C3=A9?= <a@example.org>
Message-ID: <1@example.org>
Date: Mon, 02 Sep 2002 12:00:00 +0200
Subject: Hello
 folded
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
--b
Content-Type: text/html
Content-Transfer-Encoding: base64

PGI+aGVsbG88L2I+
--b--
"""

# In the order of RowFormat; its number is the first byte.
ROWS = [
    "a\n",
    '{"id":"1","author":"a","time":1345107919,"text":"hello","likes":3}\n{"id":2}\n',
    'id,author,time,text\n1,a,2017-03-01T12:00:00Z,"a ""quoted"" text\nof two lines"\n',
    MAIL,
    'window.YTD.tweets.part0 = [ {"tweet" : {"id_str":"1","created_at":"Wed Mar 01 12:00:00 +0000 2017",'
    '"full_text":"hi","favorite_count":"1"}} ]',
    '{"@context":"https://www.w3.org/ns/activitystreams","type":"OrderedCollection","orderedItems":[{"type":"Create",'
    '"published":"2017-03-01T12:00:00Z","to":["https://www.w3.org/ns/activitystreams#Public"],"object":{"id":"1",'
    '"type":"Note","content":"<p>hi</p>","attributedTo":"a","published":"2017-03-01T12:00:00Z"}}]}',
    '{"did":"did:plc:a","time_us":1725911162329308,"kind":"commit","commit":{"operation":"create","collection":'
    '"app.bsky.feed.post","rkey":"1","record":{"text":"hi","createdAt":"2024-09-09T19:46:02.102Z"}}}\n',
    '{"id":"1","author":"a","created_utc":1345107919,"title":"t","selftext":"s","subreddit":"linux","score":1}\n',
]

SEEDS = {
    "gguf": [gguf(0, 128), gguf(1, 64), gguf(8, 34), gguf(2, 18), gguf(10, 84), gguf(14, 210), gguf(16, 66), gguf(23, 136)],
    "gguf_tokenizer": gguf_vocabularies(),
    "safetensors": [safetensors({}), safetensors({"a": ("F32", [2, 2], b"\0" * 16), "b": ("BF16", [3], b"\1" * 6)})],
    "config": [json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
                           "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                           "num_key_value_heads": 2, "vocab_size": 300, "max_position_embeddings": 128,
                           "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
                           "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}),
               json.dumps({"model_type": "grok-1", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
                           "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "num_experts": 8,
                           "num_experts_per_tok": 2, "max_attn_value": 30.0, "attn_output_multiplier": 0.25,
                           "embedding_multiplier_scale": 8.0, "output_multiplier_scale": 0.6})],
    "tokenizer": [json.dumps(t) + "\0hello world" for t in (byte_level_tokenizer(), sentencepiece_tokenizer())],
    "chat_template": [json.dumps({"chat_template": "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>"}),
                      json.dumps({"chat_template": [{"name": "default", "template": "{{ bos_token }}' [INST] ' [/INST] <<SYS>>"}]}),
                      "user\0hello <|endofpost|> <|user|>\nassistant: no", "system\0[INST] <<SYS>> [[/INST]] <|eot_id|>"],
    "json_schema": [json.dumps(schema) + "\0abcABC123" for schema in SCHEMAS],
    "grammar_regex": [p + "\0ab1" for p in ("^[a-f]{2,4}\\d+$", "(a|b)*c?", "\\w+@\\w+\\.[a-z]{2,3}", "[^\\u0000-\\u00ff]")],
    "grammar_text": ['root ::= "a" item* "\\n"\nitem ::= [a-z0-9]+ | "(" item ")" # comment\n\0a1'],
    "completion_call": ["\0" + json.dumps(CHAT), "\0" + json.dumps(TOOLS), "\0" + json.dumps(SCHEMA_CHAT),
                        "\1" + json.dumps(TEXT), "\1" + json.dumps(TEXT | {"prompt": "hello", "grammar": 'root ::= "a"'})],
    "http": ["/v1/posts/a%20b?limit=1&q=%C3%A9+x"],
    "row_reader": [bytes([i]) + row.encode() for i, row in enumerate(ROWS)],
    "part_files": [json.dumps({"format": "starling-prepare-part", "version": 1, "inputs": "0", "posts": 1, "dropped": [0] * 9,
                               "languages": ["en"], "files": {"texts": "0", "signatures": "0", "records": "0"}})],
    "filter_scores": ["call [[PHONE:555 1234]] or [[EMAIL:a@example.org]]"],
    "query": ['apt "unmet dependencies" -from:me since:2002-09-01 OR #linux @you lang:en min_likes:3 max_id:9'],
    "brief": ["\0" + path.read_text() for path in sorted((ROOT / "examples").rglob("*.toml"))]
             + ['\1{"advertiser":"a","product":"p","facts":[{"id":"price","name":"price","value":"12.90","unit":"EUR"}]}'],
    "lineage": [b"\1" * 8 + b"\2" * 8],
    "card_section": ["# Card\n\n## Measured\nold\n\n## Intended use\nall\n\0new"],
}


def main():
    folder = Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds):
            (folder / target / f"seed-{i}").write_bytes(seed if isinstance(seed, bytes) else seed.encode())


if __name__ == "__main__":
    main()
