// A `starling serve` of its own for the tests: a workspace with a model that a few steps of training made. What it
// writes means nothing; every step of serving it is real.
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const kProgram = process.env.STARLING ?? new URL("../../build/release/starling", import.meta.url).pathname;
const kSettings = [
  "model.hidden_size=64", "model.intermediate_size=128", "model.layers=2", "model.heads=4", "model.kv_heads=2", "model.max_positions=4096",
  "tokenizer.vocab_size=600", "train.sequence_length=64", "train.batch_tokens=256", "train.micro_batch_tokens=256",
  "prepare.spam_score=0", "prepare.max_template_posts=0", "prepare.near_duplicate_similarity=1", "server.log_requests=false", "server.port=0",
];
const kWords = "a the one some linux laptop mailer kernel post thread answer question runs reads writes breaks mends likes quickly again today".split(" ");

export const noServer = existsSync(kProgram) ? false : `${kProgram} is not there; build it, or set STARLING`;

// Posts that differ, so that none is dropped as a copy, by more authors than the 50 that an audience must have.
function posts() {
  const lines = [];
  for (let i = 0; i < 400; ++i) {
    const words = Array.from({ length: 12 }, (_, j) => kWords[(i * 31 + j * j * 7 + ((i >> 3) * j)) % kWords.length]);
    const time = new Date(Date.UTC(2020, 0, 1) + i * 86_400_000).toISOString();
    lines.push(JSON.stringify({ id: `p${i}`, author: `author${i % 80}`, text: `${words.join(" ")} number ${i}.`, time }));
  }
  return lines.join("\n") + "\n";
}

// { url, key, model, stop }
export async function startServer(settings = []) {
  const folder = await mkdtemp(join(tmpdir(), "starling-clients-"));
  const workspace = join(folder, "workspace");
  const run = (...words) => execFileSync(kProgram, ["--quiet", "--workspace", workspace, ...words], { stdio: ["ignore", "ignore", "inherit"] });
  await writeFile(join(folder, "posts.jsonl"), posts());
  run("init", workspace, ...[...kSettings, ...settings].flatMap((setting) => ["--set", setting]));
  run("ingest", join(folder, "posts.jsonl"));
  run("prepare");
  run("train", "--name", "own", "--steps", "5");
  run("index");
  const child = spawn(kProgram, ["--json", "--quiet", "--workspace", workspace, "serve"], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await Promise.race([
    new Promise((resolve) => createInterface({ input: child.stdout }).once("line", (text) => resolve([text]))),
    new Promise((_, reject) => child.once("exit", (code) => reject(new Error(`starling serve ended with ${code}`)))),
  ]);
  const welcome = JSON.parse(line);
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("exit", (code) => resolve(code)));
    child.kill("SIGTERM");
    const code = await ended;
    await rm(folder, { recursive: true });
    return code;
  };
  return { url: welcome.url, key: welcome.admin_key, model: "own", stop };
}
