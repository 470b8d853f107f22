#!/usr/bin/env python3
"""A soak of `starling serve`: random clients that chat, stream, leave, read slowly, stop reading, send too much or
nonsense, and are killed, for as long as is asked. At its end every request must have had an answer or an error, every
page of keys and values must be free or the prefix cache's, memory must be flat once all that the server keeps was filled
(pages, compiled schemas), and SIGTERM must end the server.

  tools/soak.py --minutes 60                      a workspace of its own, with a model that a few steps made
  tools/soak.py --minutes 10 --clients 8 --seed 2

Prints a report; exit 1 when a check fails. Time for which this machine did not run us (more than kPause) is reported,
and what was under way then is not judged by its time limits."""
import argparse, collections, json, os, random, re, select, signal, socket, subprocess, sys, tempfile, threading, time
import http.client

K_PAUSE = 3.0  # seconds without a turn: the machine was elsewhere
K_REST = 60.0  # seconds from one rest to the next: nothing is under way then, so what is allocated is what the server keeps
K_PATIENCE = 240.0  # seconds of silence after which a client says that its request is lost
K_FULL = 0.95  # part of the pages in use at once after which they count as allocated
K_SCHEMAS = 200  # answers under a schema, of 59 schemas, after which as many compiled ones are kept as ever will be
K_SETTINGS = ["model.hidden_size=64", "model.intermediate_size=128", "model.layers=2", "model.heads=4", "model.kv_heads=2",
              "model.max_positions=1024", "tokenizer.vocab_size=600", "train.sequence_length=64", "train.batch_tokens=256",
              "train.micro_batch_tokens=256", "prepare.spam_score=0", "prepare.max_template_posts=0",
              "prepare.near_duplicate_similarity=1", "server.log_requests=false", "server.port=0",
              "server.requests_per_second=100000", "server.request_burst=100000", "server.generations=12", "server.cache_tokens=8192",
              "server.max_queued_generations=12", "server.max_connections=64", "server.write_s=5", "server.header_s=3",
              "server.body_s=5", "server.idle_s=5", "server.drain_s=5"]
K_WORDS = "a the one some linux laptop mailer kernel post thread answer question runs reads writes breaks mends likes again".split()


class Ended(Exception):
    """The server closed the connection before its answer was whole."""


class Pauses:
    """Notes when this process got no turn for K_PAUSE seconds."""
    def __init__(self):
        self.total = self.count = 0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        last = time.monotonic()
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            if now - last > K_PAUSE:
                self.total, self.count = self.total + now - last, self.count + 1
            last = now


class Client:
    """One process. Tells its parent, a line each, what it begins and how that ended."""
    def __init__(self, port, key, seed):
        self.port, self.key, self.random, self.pauses = port, key, random.Random(seed), Pauses()
        # Name, weight.
        self.acts = [(self.chat, 6), (self.stream, 8), (self.leave, 8), (self.choices, 2), (self.schema, 4), (self.score, 2),
                     (self.embed, 2), (self.tokenize, 2), (self.slow_reader, 2), (self.stalled_reader, 1), (self.too_long, 3),
                     (self.nonsense, 3), (self.hostile_schema, 1), (self.too_large, 1), (self.half_a_head, 1)]

    def run(self):
        acts, weights = zip(*self.acts)
        while True:
            act = self.random.choices(acts, weights)[0]
            print("begin", act.__name__, flush=True)
            paused = self.pauses.count
            try:
                outcome = act()
            except Ended as error:
                outcome = f"LOST {error}"
            except (OSError, http.client.HTTPException) as error:
                outcome = f"LOST {type(error).__name__} {error}"
            time.sleep(0.25)  # a pause is noted before it is asked for
            if outcome.startswith(("LOST", "WRONG")) and self.pauses.count != paused:
                outcome = "paused"
            print("end", act.__name__, outcome.replace("\n", " ")[:300], flush=True)

    def text(self, words):
        return " ".join(self.random.choice(K_WORDS) for _ in range(words))

    def send(self, path, body, receive_buffer=0):
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(K_PATIENCE)
        client.connect(("127.0.0.1", self.port))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (f"POST {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {self.key}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n")
        try:
            client.sendall(head.encode() + data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused early; the answer, if any, is read below
        return client

    def answer(self, client):
        response = http.client.HTTPResponse(client)
        try:
            response.begin()
            return response.status, response, response.read()
        except http.client.BadStatusLine as error:
            raise Ended("no answer") from error
        except http.client.IncompleteRead as error:
            raise Ended("half an answer") from error
        finally:
            client.close()

    def call(self, path, body, wanted=200):
        """`ok`, `busy` (503 or 429 that says when to come again), or what was wrong."""
        status, response, text = self.answer(self.send(path, body))
        made = json.loads(text)
        if status != 200 and not isinstance(made["error"]["message"], str):
            return f"WRONG error {text[:100]}", None
        if status in (503, 429):
            return ("busy" if response.headers["Retry-After"] else "WRONG no Retry-After"), None
        return ("ok" if status == wanted else f"WRONG status {status} {text[:200]}"), made

    def completion(self, **more):
        return {"model": "own", "prompt": self.text(self.random.choice([3, 20, 200])), "max_tokens": self.random.choice([4, 40, 150]),
                "temperature": self.random.choice([0, 1]), "seed": self.random.randrange(9), **more}

    def conversation(self, **more):
        messages = [{"role": "system", "content": "Be short."}] * self.random.randrange(2)
        for _ in range(self.random.randrange(3)):
            messages += [{"role": "user", "content": self.text(5)}, {"role": "assistant", "content": self.text(5)}]
        return {"model": "own", "messages": messages + [{"role": "user", "content": self.text(8)}], "max_tokens": 60, **more}

    def chat(self):
        outcome, made = self.call("/v1/chat/completions", self.conversation())
        if made and made["choices"][0]["message"]["content"] is None:
            return "WRONG no content"
        return outcome

    def choices(self):
        outcome, made = self.call("/v1/completions", self.completion(n=4, logprobs=2, stop=["post", "zz"], frequency_penalty=0.3))
        return outcome if not made or len(made["choices"]) == 4 else "WRONG number of choices"

    def schema(self):
        most = self.random.randrange(1, 60)  # many schemas: compiled ones are forgotten
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": most}, "age": {"type": "integer", "minimum": 0, "maximum": most}},
                  "required": ["name", "age"], "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        outcome, made = self.call("/v1/chat/completions", self.conversation(max_tokens=300, temperature=1.5, response_format=form))
        if made:
            value = json.loads(made["choices"][0]["message"]["content"])
            if not isinstance(value["name"], str) or not 0 <= value["age"] <= most:
                return f"WRONG object {value}"
        return outcome

    def score(self):
        outcome, made = self.call("/v1/score", {"model": "own", "prefix": self.text(30), "candidates": [self.text(6) for _ in range(20)]})
        return outcome if not made or all(one["log_likelihood"] < 0 for one in made["data"]) else "WRONG score"

    def embed(self):
        outcome, made = self.call("/v1/embeddings", {"model": "own", "input": [self.text(20) for _ in range(8)]})
        return outcome if not made or len(made["data"]) == 8 else "WRONG number of embeddings"

    def tokenize(self):
        return self.call("/tokenize", {"model": "own", "text": self.text(50)})[0]

    def too_long(self):
        return self.call("/v1/completions", self.completion(prompt=self.text(5000)), wanted=400)[0]

    def nonsense(self):
        body = self.random.choice([b"{", b"[]", b"\xff\xfe", b"[" * 1000, json.dumps(self.completion(temperature="hot")).encode(),
                                   json.dumps(self.completion(n=10**9)).encode(), self.random.randbytes(300)])
        return self.call("/v1/completions", body, wanted=400)[0]

    def hostile_schema(self):
        schema = self.random.choice([{"type": "string", "pattern": "^((a{1,100}){1,100}){1,100}$"}, {"not": {}},
                                     {"enum": [{"$ref": "#"}], "anyOf": [{"$ref": "#/nowhere"}]}])
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        return self.call("/v1/chat/completions", self.conversation(response_format=form), wanted=400)[0]

    def too_large(self):
        return self.call("/v1/completions", b'{"prompt":"' + b"x" * (3 << 20), wanted=413)[0]

    def half_a_head(self):
        with socket.create_connection(("127.0.0.1", self.port), K_PATIENCE) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost:")
            return "closed by the server" if not client.recv(1) else "WRONG an answer to half a head"

    def events(self, client, slowly=0.0):
        """Texts of a stream's events; ends with its [DONE]."""
        response = http.client.HTTPResponse(client)
        try:
            response.begin()
        except http.client.BadStatusLine as error:
            raise Ended("no answer") from error
        if response.status != 200:
            yield response.status
            return
        while line := response.readline(200_000):
            if line.strip() == b"data: [DONE]":
                return
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if "error" in event:
                    raise Ended(f"error in a stream: {event}")
                yield event
            time.sleep(slowly)
        raise Ended("a stream without [DONE]")

    def stream(self, slowly=0.0):
        with self.send("/v1/completions", self.completion(stream=True, stream_options={"include_usage": True})) as client:
            usage = None
            for event in self.events(client, slowly):
                if isinstance(event, int):
                    return "busy" if event in (503, 429) else f"WRONG status {event}"
                usage = event.get("usage") or usage
        return "ok" if usage else "WRONG no usage"

    def slow_reader(self):
        return self.stream(slowly=0.05)

    def leave(self):
        request = self.completion(stream=self.random.random() < 0.7, max_tokens=900, prompt=self.text(20))
        with self.send("/v1/completions", request) as client:
            if self.random.random() < 0.5:
                time.sleep(self.random.random())
            else:
                for _, event in zip(range(self.random.randrange(20)), self.events(client) if request["stream"] else ()):
                    if isinstance(event, int):
                        return "busy" if event in (503, 429) else f"WRONG status {event}"
        return "left"

    def stalled_reader(self):
        """Asks for megabytes and reads nothing: the server must end it, not wait for ever."""
        request = self.completion(stream=True, n=16, logprobs=5, max_tokens=900, prompt="a", ignore_eos=True)
        with self.send("/v1/completions", request, receive_buffer=4096) as client:
            time.sleep(self.random.uniform(6, 20))
        return "left"


class Server:
    def __init__(self, program, folder):
        workspace = os.path.join(folder, "workspace")
        run = lambda *words: subprocess.run([program, "--quiet", "--workspace", workspace, *words], check=True, stdout=subprocess.DEVNULL)
        posts = os.path.join(folder, "posts.jsonl")
        with open(posts, "w") as file:
            for i in range(400):
                words = " ".join(K_WORDS[(i * 31 + j * j * 7 + (i >> 3) * j) % len(K_WORDS)] for j in range(12))
                file.write(json.dumps({"id": f"p{i}", "author": f"author{i % 40}", "text": f"{words} number {i}.", "time": f"2020-01-01T00:{i // 60:02}:{i % 60:02}Z"}) + "\n")
        run("init", workspace, *(word for setting in K_SETTINGS for word in ("--set", setting)))
        run("ingest", posts)
        run("prepare")
        run("train", "--name", "own", "--steps", "5")
        self.process = subprocess.Popen([program, "--json", "--quiet", "--workspace", workspace, "serve"], stdout=subprocess.PIPE)
        welcome = json.loads(self.process.stdout.readline())
        self.port, self.key = int(re.search(r":(\d+)/", welcome["url"])[1]), welcome["admin_key"]

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=K_PATIENCE)
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {self.key}"})
        text = connection.getresponse().read().decode()
        connection.close()
        return {name: float(value) for name, value in re.findall(r"^(starling_\w+) (\S+)$", text, re.M)}

    def resident_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(K_PATIENCE)


class Soak:
    def __init__(self, arguments, folder):
        self.server, self.arguments = Server(arguments.starling, folder), arguments
        self.random, self.outcomes, self.failures = random.Random(arguments.seed), collections.Counter(), []
        self.pauses, self.kills, self.seed = Pauses(), 0, arguments.seed * 1000
        self.most = collections.Counter()
        self.memory = {"resident": [], "heap": [], "allocated": []}  # MB at each look since all that is kept was filled
        self.kept = []  # MB allocated at each rest since then

    def start_client(self):
        self.seed += 1
        words = [sys.executable, __file__, "--client", str(self.server.port), self.server.key, str(self.seed)]
        client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, args=(client,), daemon=True).start()
        return client

    def listen(self, client):
        doing = None
        for line in client.stdout:
            if not line.endswith("\n"):
                break  # it was killed in the middle of a word
            word, act, *outcome = line.rstrip().split(" ", 2)
            doing = act if word == "begin" else None
            if outcome:
                kind = outcome[0].split(" ")[0] if outcome[0].startswith(("LOST", "WRONG")) else outcome[0]
                self.outcomes[act, kind] += 1
                if kind in ("LOST", "WRONG"):
                    self.failures.append(f"{act}: {outcome[0]}")
        if doing:
            self.outcomes[doing, "client killed"] += 1

    def disturb(self):
        self.start_clients(self.arguments.clients)
        end, next_look, next_rest = time.monotonic() + 60 * self.arguments.minutes, 0, time.monotonic() + K_REST
        while time.monotonic() < end and self.server.process.poll() is None:
            time.sleep(self.random.uniform(0.5, 2.5))
            self.kill(self.random.randrange(len(self.clients)))  # in the middle of whatever it does
            self.clients.append(self.start_client())
            if time.monotonic() > next_look:
                next_look = time.monotonic() + 5
                self.look()
            if time.monotonic() > next_rest:
                self.rest()
                next_rest = time.monotonic() + K_REST

    def start_clients(self, count):
        self.clients = [self.start_client() for _ in range(count)]

    def kill(self, index):
        client = self.clients.pop(index)
        client.kill()
        client.wait()
        self.kills += 1

    def kill_all(self):
        while self.clients:
            self.kill(0)

    def is_filled(self, metrics):
        """All that the server ever keeps: pages, compiled schemas."""
        full = self.most["starling_kv_pages_used"] >= K_FULL * metrics["starling_kv_pages"]
        return full and self.outcomes["schema", "ok"] >= K_SCHEMAS

    def rest(self):
        self.kill_all()
        metrics = self.quiet_metrics()
        if self.is_filled(metrics):
            self.kept.append(metrics["starling_heap_used_bytes"] / 2**20)
        self.start_clients(self.arguments.clients)

    def look(self):
        metrics = self.server.metrics()
        for name in ("starling_engine_jobs", "starling_kv_pages_used", "starling_http_connections", "starling_queued_generations"):
            self.most[name] = max(self.most[name], metrics[name])
        self.most["open files"] = max(self.most["open files"], self.server.open_files())
        if self.is_filled(metrics):
            self.memory["resident"].append(self.server.resident_mb())
            self.memory["heap"].append(metrics["starling_heap_bytes"] / 2**20)
            self.memory["allocated"].append(metrics["starling_heap_used_bytes"] / 2**20)

    def quiet_metrics(self):
        """When nothing is under way any more, or after K_PATIENCE."""
        end = time.monotonic() + K_PATIENCE
        while True:
            metrics = self.server.metrics()
            idle = metrics["starling_engine_jobs"] == 0 and metrics["starling_http_connections"] <= 1
            if idle or time.monotonic() > end:
                return metrics
            time.sleep(0.5)

    def report(self):
        def say(fact, holds):
            print(f"{'ok    ' if holds else 'FAILED'} {fact}")
            return holds

        for act in sorted({act for act, _ in self.outcomes}):
            print(f"  {act:16}", ", ".join(f"{count} {kind}" for (a, kind), count in sorted(self.outcomes.items()) if a == act))
        for failure in self.failures[:20]:
            print("  ", failure)
        print("most at once:", ", ".join(f"{value:.0f} {name}" for name, value in self.most.items()))
        print(f"pauses of this machine: {self.pauses.count}, {self.pauses.total:.0f} s")
        ok = say(f"the server lives after {self.arguments.minutes} minutes, {sum(self.outcomes.values())} requests, {self.kills} clients killed", self.server.process.poll() is None)
        if not ok:
            return False
        ok &= say(f"no request lost without an error, none answered wrongly: {len(self.failures)}", not self.failures)
        metrics = self.quiet_metrics()
        ok &= say(f"nothing is under way when the clients are gone: {metrics['starling_engine_jobs']:.0f} jobs, {metrics['starling_http_connections'] - 1:.0f} other connections",
                  metrics["starling_engine_jobs"] == 0 and metrics["starling_http_connections"] <= 1)
        used, cached = metrics["starling_kv_pages_used"], metrics["starling_kv_pages_cached"]
        ok &= say(f"no page leaked: {used:.0f} used, {cached:.0f} of them the prefix cache's, of {metrics['starling_kv_pages']:.0f}; {metrics['starling_preemptions']:.0f} preemptions", used == cached)
        ok &= self.report_memory(say)
        self.start_clients(4)  # SIGTERM comes while streams are under way
        time.sleep(3)
        begin = time.monotonic()
        code = self.server.stop()
        ok &= say(f"SIGTERM ends it in {time.monotonic() - begin:.1f} s with code {code}", code == 0)
        self.kill_all()
        return ok

    def report_memory(self, say):
        """A leak shows in what is allocated when nothing is under way. A heap keeps the size of its busiest moment, which may
        come late, so what is resident may grow a little more; if its holes are not used again, it is a multiple of what was
        ever allocated."""
        def thirds(values):
            third = len(values) // 3
            early, late = (sorted(part)[third // 2] for part in (values[:third], values[-third:]))
            return early, late, f"{early:.1f} MB in the first third, {late:.1f} MB in the last (medians of {third}), {max(values):.1f} MB at most"

        if len(self.kept) < 9:
            return say("memory is flat: cannot be told, too little time was left when pages and schemas were filled; give more --minutes", False)
        early, late, words = thirds(self.kept)
        ok = say(f"memory is flat, allocated while nothing is under way: {words}", late < 1.01 * early + 0.5)
        early, late, words = thirds(self.memory["resident"])
        ok &= say(f"resident memory under way is nearly so: {words}", late < 1.1 * early)
        heap, allocated = thirds(self.memory["heap"])[1], max(self.memory["allocated"])
        return ok & say(f"the heaps are used: they have {heap:.1f} MB in the last third, {allocated:.1f} MB were allocated at most", heap < 2 * allocated)


def main():
    if sys.argv[1:2] == ["--client"]:
        return Client(int(sys.argv[2]), sys.argv[3], int(sys.argv[4])).run()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--starling", default="build/release/starling")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starling-soak-") as folder:
        soak = Soak(arguments, folder)
        soak.disturb()
        soak.kill_all()
        time.sleep(1)
        try:
            return 0 if soak.report() else 1
        finally:
            soak.server.process.kill()


if __name__ == "__main__":
    sys.exit(main())
