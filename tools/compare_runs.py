#!/usr/bin/env python3
"""Whether one search run is better than another beyond chance: nDCG@10 of each query as trec_eval defines it, and a paired
randomization test (each query's difference changes its sign or not; two-sided).

Several --pair are taken together, one a collection; queries without a relevant document are left out.

usage: compare_runs.py --pair QRELS RUN_A RUN_B [--pair ...] [--draws 5000] [--seed 1]
example: compare_runs.py --pair qrels-2011.tsv lexical-2011.trec fused-2011.trec --pair qrels-2012.tsv lexical-2012.trec fused-2012.trec
"""
import argparse
import collections
import math
import random

DEPTH = 10


def read_qrels(path):
    """query -> document -> grade, from TREC's four columns or a TSV of query, document, grade with a header."""
    grades = collections.defaultdict(dict)
    with open(path) as lines:
        for line in lines:
            fields = line.split()
            if fields[-1].lstrip("-").isdigit():  # not the header
                grades[fields[0]][fields[-2]] = int(fields[-1])
    return grades


def read_run(path):
    """query -> documents, best first: by score, and among equals the greater id first, as trec_eval sorts."""
    scored = collections.defaultdict(list)
    with open(path) as lines:
        for line in lines:
            query, _, document, _, score, _ = line.split()
            scored[query].append((float(score), document))
    return {query: [document for _, document in sorted(hits, reverse=True)] for query, hits in scored.items()}


def gain(grades):
    return sum(max(grade, 0) / math.log2(place + 2) for place, grade in enumerate(grades[:DEPTH]))


def ndcg(grades, documents):
    return gain([grades.get(document, 0) for document in documents]) / gain(sorted(grades.values(), reverse=True))


def values(qrels, run):
    return [ndcg(grades, run.get(query, [])) for query, grades in sorted(qrels.items()) if max(grades.values()) > 0]


def p_value(differences, draws, source):
    observed = abs(sum(differences))
    as_far = sum(abs(sum(d * source.choice((-1, 1)) for d in differences)) >= observed - 1e-12 for _ in range(draws))
    return (as_far + 1) / (draws + 1)


def report(name, a, b, draws, source):
    differences = [y - x for x, y in zip(a, b)]
    count = len(differences)
    print(f"{name}: {count} queries, nDCG@{DEPTH} {sum(a) / count:.4f} and {sum(b) / count:.4f}, difference {sum(differences) / count:+.4f}, "
          f"p {p_value(differences, draws, source):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=3, action="append", required=True, metavar=("QRELS", "RUN_A", "RUN_B"))
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    source = random.Random(arguments.seed)
    all_a, all_b = [], []
    for qrels_file, run_a, run_b in arguments.pair:
        qrels = read_qrels(qrels_file)
        a, b = values(qrels, read_run(run_a)), values(qrels, read_run(run_b))
        report(run_b, a, b, arguments.draws, source)
        all_a += a
        all_b += b
    if len(arguments.pair) > 1:
        report("together", all_a, all_b, arguments.draws, source)


if __name__ == "__main__":
    main()
