#!/usr/bin/env python3
"""Whether two engines agree on a model: the most probable next tokens at every position of some texts, by a running
`starling serve` and a running `llama-server` (llama.cpp) of the same model.

A line of the file is a text. Both get the same token ids, those of Starling's /tokenize. Printed are how
often both put the same token first, whether at every other position each engine's first is among the other's top five (it exits
with 1 where not), and the differences of log p of the tokens that both have among their five.

usage: compare_logprobs.py TEXTS --starling URL --key KEY --model NAME --llama URL [--texts 50] [--tokens 64]
example: compare_logprobs.py tweets.txt --starling http://127.0.0.1:8080 --key sk-... --model tinyllama --llama http://127.0.0.1:8081
"""
import argparse
import json
import statistics
import sys
import urllib.request

TOP = 5
SHOWN = 5  # positions that do not agree


def post(url, body, key=""):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if key:
        request.add_header("Authorization", "Bearer " + key)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def starlings(options, ids):
    """For each position after the first: text of a token -> log p."""
    body = {"model": options.model, "prompt": ids, "max_tokens": 0, "echo": True, "logprobs": TOP}
    choice = post(options.starling + "/v1/completions", body, options.key)["choices"][0]
    return choice["logprobs"]["top_logprobs"][1 - len(ids):]  # a begin token has no text and may have no entry


def llamas(options, ids):
    tops = []
    for end in range(1, len(ids)):
        body = {"prompt": ids[:end], "n_predict": 1, "n_probs": TOP, "temperature": 0, "cache_prompt": True}
        entry = post(options.llama + "/completion", body)["completion_probabilities"][0]
        tops.append({token["token"]: token["logprob"] for token in entry["top_logprobs"]})
    return tops


def first(top):
    return max(top, key=top.get)


class Agreement:
    def __init__(self):
        self.positions = self.same = self.crossed = self.shared = self.bytes = 0
        self.differences = []

    def add(self, ours, theirs):
        special = [token for token in ours if token.startswith("<") and token.endswith(">") and token not in theirs]
        if "" in theirs and len(special) == 1:  # llama-server gives a special token no name
            ours[""] = ours.pop(special[0])
        if any(token.startswith("bytes:") for token in ours) or "\ufffd" in "".join(theirs):
            self.bytes += 1  # tokens that are a part of a character: their names do not tell them apart
            return
        self.positions += 1
        if first(ours) == first(theirs):
            self.same += 1
        elif first(ours) in theirs and first(theirs) in ours:
            self.crossed += 1
        elif self.positions - self.same - self.crossed <= SHOWN:
            print(f"\ra first token is not among the other's: {ours} and {theirs}")
        common = ours.keys() & theirs.keys()
        self.shared += len(common)
        self.differences += [abs(ours[token] - theirs[token]) for token in common]

    def report(self):
        others = self.positions - self.same
        self.differences.sort()
        print(f"{self.positions} positions ({self.bytes} more with parts of characters left out); the same token first at {self.same} ({self.same / self.positions:.2%}); "
              f"of the {others} others each first is in the other's top {TOP} at {self.crossed}")
        print(f"tokens that both have among their {TOP}: {self.shared / self.positions / TOP:.2%}; |difference of log p| of those: "
              f"median {statistics.median(self.differences):.4f}, 99 % {self.differences[int(0.99 * len(self.differences))]:.4f}, "
              f"largest {self.differences[-1]:.4f}")
        return self.crossed == others


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="TEXTS", help="a text a line")
    parser.add_argument("--starling", required=True, help="address of `starling serve`")
    parser.add_argument("--key", required=True, help="an API key of it")
    parser.add_argument("--model", required=True, help="its name for the model")
    parser.add_argument("--llama", required=True, help="address of `llama-server`")
    parser.add_argument("--texts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=64, help="at most, of each text")
    return parser.parse_args()


def main():
    options = read_options()
    agreement = Agreement()
    with open(options.file) as lines:
        texts = [line.strip() for line in lines if line.strip()][:options.texts]
    for number, text in enumerate(texts, 1):
        tokens = post(options.starling + "/tokenize",
                      {"model": options.model, "text": text, "add_special_tokens": True}, options.key)["tokens"]
        ids = tokens[:options.tokens]
        for ours, theirs in zip(starlings(options, ids), llamas(options, ids)):
            agreement.add(ours, theirs)
        print(f"\r{number} of {len(texts)} texts", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if not agreement.positions:
        sys.exit(f"{options.file}: no text of two tokens or more")
    sys.exit(not agreement.report())


if __name__ == "__main__":
    main()
