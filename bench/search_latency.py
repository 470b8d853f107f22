#!/usr/bin/env python3
"""Times searches of a running server: `took_ms` of queries of two words, drawn from a text's lines, one after the other.

usage: search_latency.py URL KEY TEXT [QUERIES]
example: starling --set server.requests_per_second=100000 serve --port 8990 &
         bench/search_latency.py http://localhost:8990 "$KEY" tweets.txt
"""
import json
import random
import re
import sys
import urllib.request

STAGES = {"lexical": {"stage": "lexical"}, "ranked": {}, "ranked, facets": {"facets": True}}


def queries(path, count):
    draw = random.Random(5)
    with open(path, errors="replace") as text:
        lines = [words for line in text if len(words := re.findall("[a-z]{3,}", line.lower())) >= 2]
    return [" ".join(draw.sample(draw.choice(lines), 2)) for _ in range(count)]


def took_ms(url, key, body):
    request = urllib.request.Request(url + "/v1/search", json.dumps(body).encode(), {"Authorization": "Bearer " + key})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["took_ms"]


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    url, key, path = sys.argv[1:4]
    asked = queries(path, int(sys.argv[4]) if len(sys.argv) == 5 else 200)
    for name, options in STAGES.items():
        for query in asked[:20]:
            took_ms(url, key, {"query": query, **options})
        times = sorted(took_ms(url, key, {"query": query, **options}) for query in asked)
        print(f"{name}: median {times[len(times) // 2]:.1f} ms, 99 of 100 within {times[len(times) * 99 // 100]:.1f} ms")


main()
