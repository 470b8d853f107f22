#!/usr/bin/env bats
# What a user sees when something is wrong: where, what, what to do; and the exit code. STARLING names the program.

bats_require_minimum_version 1.5.0

setup() {
  folder=$(mktemp -d)
  workspace="$folder/workspace"
  "$STARLING" init "$workspace" > /dev/null
}

teardown() { rm -rf "$folder"; }

@test "without a command: usage and exit 2" {
  run "$STARLING"
  [ "$status" -eq 2 ]
}

@test "every command has help with an example" {
  for command in init ingest prepare tokenizer train eval finetune generate chat import export index search ask ads audit delete opt-out keys serve plan bench info; do
    run "$STARLING" "$command" --help
    [ "$status" -eq 0 ] || { echo "$command: $output"; false; }
    [[ "$output" == *"starling $command"* ]] || { echo "$command has no example"; false; }
  done
}

@test "a folder that is no workspace names starling init" {
  run "$STARLING" --workspace "$folder" prepare
  [ "$status" -eq 2 ]
  [[ "$output" == *"starling init"* ]]
}

@test "init makes the folder of --workspace where it is given no other, and says it in JSON" {
  run "$STARLING" --workspace "$folder/named" --json init
  [ "$status" -eq 0 ]
  [ -f "$folder/named/starling.toml" ]
  [[ "$output" == *"\"workspace\": \"$folder/named\""* ]]
  STARLING_WORKSPACE="$folder/named" "$STARLING" init "$folder/other" > /dev/null
  [ -f "$folder/other/starling.toml" ]
}

@test "init leaves the settings of a workspace that is there as they are, and says so" {
  echo 'train.seed = 7' > "$workspace/starling.toml"
  run "$STARLING" init "$workspace"
  [ "$status" -eq 0 ]
  [[ "$output" == *"was there"* ]]
  run "$STARLING" --set train.seed=8 init "$workspace"
  [ "$status" -eq 2 ]
  [[ "$output" == *"$workspace/starling.toml"* ]]
  [ "$(cat "$workspace/starling.toml")" = 'train.seed = 7' ]
}

@test "where nobody can read the error the exit code still tells it" {
  run bash -c '"$STARLING" --workspace "$1" prepare 2> /dev/full' _ "$folder"
  [ "$status" -eq 2 ]
}

@test "results that cannot be written are an error" {
  run bash -c '"$STARLING" plan > /dev/full'
  [ "$status" -eq 1 ]
  [[ "$output" == *"standard output"* ]]
}

@test "numbers that mean nothing are refused, not passed over" {
  for flags in "--threads -5 info" "keys create x --requests-per-second nan" "index --tune --tune-seconds nan" "index --tune-seconds inf" \
    "finetune x --name y --learning-rate nan" "finetune x --name y --alpha nan" "train --depth -3" "tokenizer train --vocab-size -5" \
    "--set prepare.validation_fraction=nan prepare"; do
    run "$STARLING" --workspace "$workspace" $flags
    [ "$status" -eq 2 ] || { echo "$flags: $status $output"; false; }
  done
  echo '{"id":"1","text":"a post","kind":"news"}' > "$folder/posts.jsonl"
  for flags in "ingest.max_row_bytes=-1 ingest $folder/posts.jsonl" "ingest.segment_posts=-1 ingest $folder/posts.jsonl" \
    "train.newest_samples=-1 eval" "prepare.max_template_posts=-1 eval posts --automation $folder/posts.jsonl --automation-field kind --text text"; do
    run "$STARLING" --workspace "$workspace" --set $flags
    [[ "$status" -eq 2 && "$output" == *"${flags%%=*}"* ]] || { echo "$flags: $status $output"; false; }
  done
  run "$STARLING" --workspace "$workspace" finetune x --name y --epochs 0
  [[ "${lines[0]}" == "--epochs: 0 is not above 0" ]]
}

@test "an empty id is no author" {
  run "$STARLING" --workspace "$workspace" audit data --post ""
  [ "$status" -eq 2 ]
}

@test "a system message asks for --chat" {
  run "$STARLING" --workspace "$workspace" generate --model own --system "Be short." --prompt hello
  [ "$status" -eq 2 ]
  [[ "$output" == *"--chat"* ]]
}

@test "sums of money are shown to the last digit, and a variant is named before its campaign" {
  make_small_model
  "$STARLING" --workspace "$workspace" --quiet index > /dev/null
  cat > "$folder/brief.toml" <<'END'
advertiser = "Quay"
payer = "Quay Ltd"
product = "Coffee"
landing_page = "https://quay.example/"
currency = "USD"
budget = "1234567.89"
audiences = [{name = "linux", query = "linux"}]
facts = [{id = "price", name = "price", value = 5, unit = "USD"}]
END
  run --separate-stderr "$STARLING" --workspace "$workspace" --quiet ads write "$folder/brief.toml"
  [ "$status" -eq 0 ]
  [[ "$output" == *"Budget 1234567.89 USD, spent 0.00 USD"* ]]
  run "$STARLING" --workspace "$workspace" ads approve --variant v-1 "$(sed -E '1s/Campaign ([^ ]+).*/\1/;q' <<< "$output")" --approver ines
  [[ "$output" == *"has no variant \`v-1\`"* ]]
}

@test "an unknown key in starling.toml names the line and the nearest key" {
  echo "[train]
stepz = 3" > "$workspace/starling.toml"
  run "$STARLING" --workspace "$workspace" train
  [ "$status" -eq 2 ]
  [[ "$output" == *"starling.toml:2"* && "$output" == *"train.steps"* ]]
}

@test "an unknown key in --set names the nearest key" {
  run "$STARLING" --workspace "$workspace" --set train.stepz=3 train
  [ "$status" -eq 2 ]
  [[ "$output" == *"train.steps"* ]]
}

@test "a missing model says how to get one" {
  run "$STARLING" --workspace "$workspace" generate --model nothing --prompt hello
  [ "$status" -eq 1 ]
  [[ "$output" == *"models/nothing"* ]]
}

# The model `own`, after two steps on 200 posts; `small` holds its settings.
make_small_model() {
  for i in $(seq 200); do echo "{\"id\":\"$i\",\"text\":\"post number $i about linux and $((i * 7919 % 101)) mailers\"}"; done > "$folder/posts.jsonl"
  small=(--set model.hidden_size=64 --set model.intermediate_size=128 --set model.layers=2 --set model.heads=2 --set model.kv_heads=2
    --set model.max_positions=256 --set tokenizer.vocab_size=500 --set train.sequence_length=32 --set train.batch_tokens=128
    --set train.micro_batch_tokens=128 --set prepare.max_template_posts=0 --set prepare.near_duplicate_similarity=1)
  "$STARLING" --workspace "$workspace" --quiet ingest "$folder/posts.jsonl" > /dev/null
  "$STARLING" --workspace "$workspace" --quiet "${small[@]}" prepare > /dev/null
  "$STARLING" --workspace "$workspace" --quiet "${small[@]}" train --name own --steps 2 > /dev/null
}

@test "a chat remembers what was said, /new forgets it, and its first answer is what generate writes" {
  make_small_model
  field() { python3 -c "import json,sys; print(json.loads(sys.argv[1])['$1'])" "$2"; }
  long=$(printf 'word %.0s' $(seq 300))
  run --separate-stderr "$STARLING" --workspace "$workspace" --json chat -t 0 -n 20 <<< "hello"$'\n'"hello"$'\n'"$long"$'\n'"hello"$'\n'"/new"$'\n'"hello"$'\n'"/quit"$'\n'"hello"
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 4 ]
  alone=$("$STARLING" --workspace "$workspace" --json generate --model own --chat -p hello -t 0 -n 20)
  [ "$(field text "${lines[0]}")" = "$(field text "$alone")" ]
  [ "$(field text "${lines[3]}")" = "$(field text "$alone")" ]
  [ "$(field prompt_tokens "${lines[1]}")" -gt "$(field prompt_tokens "${lines[0]}")" ]
  [ "$(field prompt_tokens "${lines[2]}")" -gt "$(field prompt_tokens "${lines[1]}")" ]  # also after what did not fit
  [ "$(field prompt_tokens "${lines[3]}")" -eq "$(field prompt_tokens "${lines[0]}")" ]
  [[ "$stderr" == *"context of 256"* ]]
}

@test "a model goes on training on the prepared posts, and a general set is scored and mixed in" {
  make_small_model
  for i in $(seq 40); do echo "{\"text\":\"a general text about rivers and the number $((i * 31 % 17))\"}"; done > "$folder/general.jsonl"
  run --separate-stderr "$STARLING" --workspace "$workspace" --quiet --json finetune --objective text --base own --full --name more \
    --newest 50 --general "$folder/general.jsonl" --general-share 0.25 --epochs 1 --max-length 32 --batch-tokens 128
  [ "$status" -eq 0 ]
  field() { python3 -c "import json,sys; print(json.loads(sys.argv[1])['$1'])" "$output"; }
  [ "$(field general_held_out)" -ge 1 ]
  python3 -c "import json,sys; r=json.loads(sys.argv[1]); assert r['loss_after'] < r['loss_before'] and r['general_loss_after'] < r['general_loss_before']" "$output"
  [ -f "$workspace/models/more/seen.bin" ]
  grep -q '"general": "general.jsonl"' "$workspace/models/more/lineage.json"
  run "$STARLING" --workspace "$workspace" finetune "$folder/general.jsonl" --objective preference --general "$folder/general.jsonl" --base own --name no
  [ "$status" -eq 2 ]
  [[ "$output" == *"--general"* ]]
}

@test "a tuning that is stopped goes on with --resume, and without it is not overwritten" {
  make_small_model
  for i in $(seq 300); do echo "{\"prompt\":\"what is number $i\",\"completion\":\"the number $i\"}"; done > "$folder/answers.jsonl"
  tune=("$STARLING" --workspace "$workspace" finetune "$folder/answers.jsonl" --base own --name told --epochs 500 --max-length 128 --batch-tokens 128)
  "${tune[@]}" 2> "$folder/progress" & tuning=$!
  for i in $(seq 300); do grep -q "^finetune: .*loss" "$folder/progress" && break; sleep 0.2; done
  kill "$tuning"
  wait "$tuning" && false || [ "$?" -eq 1 ]
  [ -f "$workspace/runs/told/checkpoints/finetune/state.safetensors" ]
  run "$STARLING" --workspace "$workspace" audit data --post 1
  [[ "$output" == *"runs/told/checkpoints/finetune"* ]]
  run "${tune[@]}"
  [ "$status" -eq 2 ]
  [[ "$output" == *"--resume"* ]]
  run "$STARLING" --workspace "$workspace" "${small[@]}" train --name told
  [ "$status" -eq 2 ]
  [[ "$output" == *"finetune"*"--resume"*"runs/told/checkpoints/finetune"* ]]
  [ -f "$workspace/runs/told/checkpoints/finetune/state.safetensors" ]
}

@test "a training that is not finished is not replaced by a tuning of its name" {
  make_small_model
  cp -r "$workspace/models/own" "$workspace/models/base"
  rm "$workspace/runs/own/card.md"  # as if it had been killed
  echo '{"prompt":"what","completion":"that"}' > "$folder/answers.jsonl"
  run "$STARLING" --workspace "$workspace" finetune "$folder/answers.jsonl" --base base --name own --replace
  [ "$status" -eq 2 ]
  [[ "$output" == *"train --name own --resume"* ]]
}

@test "a model learns which texts belong together, from a file or the workspace's own posts, and embeds" {
  make_small_model
  for i in $(seq 60); do echo "{\"anchor\":\"rivers and number $i\",\"positive\":\"the number $i in a text on rivers\"}"; done > "$folder/pairs.jsonl"
  run --separate-stderr "$STARLING" --workspace "$workspace" --quiet --json finetune "$folder/pairs.jsonl" --objective contrastive \
    --base own --full --name near --epochs 12 --max-length 32 --learning-rate 1e-3 --held-out 0
  [ "$status" -eq 0 ]
  python3 -c "import json,sys; r=json.loads(sys.argv[1]); assert r['loss_after'] < 0.9 * r['loss_before']" "$output"
  run "$STARLING" --workspace "$workspace" --quiet index --model near
  [ "$status" -eq 0 ]
  [[ "$output" == *"vectors of near"* ]]
  for i in $(seq 120); do echo "{\"id\":\"r$i\",\"reply_to\":\"$i\",\"time\":$i,\"text\":\"an answer to mailer $i\"}"; done > "$folder/replies.jsonl"
  "$STARLING" --workspace "$workspace" --quiet ingest "$folder/replies.jsonl" > /dev/null
  "$STARLING" --workspace "$workspace" --quiet "${small[@]}" prepare > /dev/null
  run "$STARLING" --workspace "$workspace" --quiet --json finetune --objective contrastive --base own --name threads --epochs 1 --max-length 32
  [ "$status" -eq 0 ]
  [ -f "$workspace/models/threads/adapter/adapter_model.safetensors" ]
  [ -f "$workspace/models/threads/seen.bin" ]
}

@test "eval leaves out what was deleted since the shards were made" {
  make_small_model
  samples() { "$STARLING" --workspace "$workspace" --quiet --json eval | python3 -c "import json,sys; print(json.load(sys.stdin)['samples'])"; }
  before=$(samples)
  "$STARLING" --workspace "$workspace" --quiet delete --post 99 > /dev/null  # the last of all: in validation
  [ "$(samples)" -eq $((before - 1)) ]
}

@test "eval quant compares every form of weights and of the cache with bf16, on a file or the later posts" {
  make_small_model
  printf 'a line about linux\n\nand another about mailers\n' > "$folder/lines.txt"
  run --separate-stderr "$STARLING" --workspace "$workspace" --quiet --json eval quant --model own --weights bf16,int8 --cache f16,int8 --text "$folder/lines.txt"
  [ "$status" -eq 0 ]
  python3 - "$output" <<'END'
import json, sys
rows = json.loads(sys.argv[1])
assert [(r["weights"], r["cache"]) for r in rows] == [("bf16", "f16"), ("bf16", "int8"), ("int8", "f16"), ("int8", "int8")], rows
assert rows[0]["mean_kl_nats"] == 0 and all(0 < r["mean_kl_nats"] < 0.1 for r in rows[1:]), rows
assert all(r["positions"] == rows[0]["positions"] > 4 for r in rows), rows
END
  run "$STARLING" --workspace "$workspace" --quiet eval quant --model own --weights int4 --text "$folder/none.txt"
  [ "$status" -eq 1 ]
  [[ "$output" == *"none.txt"* ]]
}

@test "train --profile prints where the time of a step goes, and trains nothing" {
  make_small_model
  run --separate-stderr "$STARLING" --workspace "$workspace" --json "${small[@]}" train --name other --profile
  [ "$status" -eq 0 ]
  python3 -c "import json,sys; r=json.loads(sys.argv[1]); assert sum(o['share'] for o in r['operators']) > 0.99, r" "$output"
  [ ! -e "$workspace/runs/other" ]
}

@test "train --resume says that the run keeps its own settings, and --estimate which setting is too large" {
  make_small_model
  rm "$workspace/runs/own/card.md"  # as if it had been killed
  run "$STARLING" --workspace "$workspace" --quiet train --name own --steps 9 --resume
  [ "$status" -eq 0 ]
  [[ "$output" == *"train.steps=9"*"runs/own/starling.toml"* ]]
  run "$STARLING" --workspace "$workspace" train --depth 1 --minutes 1 --set train.sequence_length=1024 --estimate
  [ "$status" -eq 2 ]
  [[ "$output" == *"train.sequence_length 1024"*"model.max_positions"* ]]
  run "$STARLING" --workspace "$workspace" train --estimate --profile
  [ "$status" -eq 2 ]
}

@test "the tokenizer that is kept, and one that takes its place beside shards of the one before, are told of" {
  make_small_model
  run "$STARLING" --workspace "$workspace" --quiet "${small[@]}" --set tokenizer.vocab_size=600 prepare
  [[ "$output" == *"tokenizer: "*"kept"*"tokenizer.vocab_size = 600"* ]]
  run "$STARLING" --workspace "$workspace" --quiet tokenizer train --vocab-size 300
  [ "$status" -eq 0 ]
  [[ "$output" == *"$workspace/shards"*"starling prepare"* ]]
}

@test "special tokens are encoded only where the caller names them" {
  make_small_model
  encode() { "$STARLING" --workspace "$workspace" tokenizer encode 'a<|endofpost|>' "$@"; }
  [ "$(encode --allow-special '<|endofpost|>' | wc -w)" -eq 2 ]
  [ "$(encode --allow-special all)" = "$(encode --allow-special '<|endofpost|>')" ]
  [ "$(encode | wc -w)" -gt 2 ]
  run encode --allow-special '<|none|>'
  [ "$status" -eq 2 ]
  [[ "$output" == *"tokenizer info"* ]]
}

@test "a TLS certificate without its key, or a file that is none, is named" {
  run "$STARLING" --workspace "$workspace" --set server.tls_certificate=chain.pem serve --port 0
  [ "$status" -eq 2 ]
  [[ "$output" == *"server.tls_key"* ]]
  run "$STARLING" --workspace "$workspace" --set server.tls_certificate=chain.pem --set server.tls_key=key.pem serve --port 0
  [ "$status" -eq 1 ]
  [[ "$output" == *"server.tls_certificate \"chain.pem\""* ]]
}

@test "SIGHUP gives a new TLS certificate to new connections, and a wrong one changes nothing" {
  command -v openssl > /dev/null || skip "no openssl"
  cd "$folder"
  new_certificate() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" -keyout key.pem -out chain.pem 2> /dev/null; }
  served() { openssl s_client -connect "127.0.0.1:$port" < /dev/null 2> /dev/null | openssl x509 -noout -subject; }
  log_has() { for _ in $(seq 200); do grep -q "$1" log && return; sleep 0.05; done; cat log; false; }
  new_certificate first
  "$STARLING" --workspace "$workspace" --json --set server.tls_certificate=chain.pem --set server.tls_key=key.pem serve --port 0 > welcome 2> log 3>&- &
  server=$!
  for _ in $(seq 200); do grep -q url welcome && break; sleep 0.05; done
  port=$(sed -E 's|.*https://127.0.0.1:([0-9]+).*|\1|' welcome)
  [[ "$(served)" == *first* ]]
  new_certificate second
  kill -HUP "$server"
  log_has "^[0-9T:-]\{19\}Z info: .* was read again"
  [[ "$(served)" == *second* ]]
  echo damaged > chain.pem
  kill -HUP "$server"
  log_has "stays as it was: server.tls_certificate \"chain.pem\""
  [[ "$(served)" == *second* ]]
  kill "$server"
  wait "$server"
}

@test "a port in use is named and ends the server" {
  coproc HOLDER { python3 -c 'import socket,sys; s=socket.socket(); s.bind(("127.0.0.1",0)); s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.read()'; }
  read -r port <&"${HOLDER[0]}"
  run timeout 20 "$STARLING" --workspace "$workspace" serve --port "$port"
  kill "$HOLDER_PID"
  [ "$status" -eq 1 ]
  [[ "$output" == *"$port"* ]]
}

@test "a bad row is quarantined with its line and the rest goes on" {
  printf '%s\n' '{"id":"1","text":"a good post about birds"}' '{"id":"2",' '{"id":"3","text":"another good post"}' > "$folder/posts.jsonl"
  run "$STARLING" --workspace "$workspace" ingest "$folder/posts.jsonl"
  [ "$status" -eq 0 ]
  [[ "$output" == *"posts.jsonl:2"* && "$output" == *"2 new posts"* ]]
  grep -q '"line":2' "$workspace/posts/quarantine.jsonl"
}

@test "a model of one name is tuned by one process" {
  echo '{"text":"a post"}' > "$folder/posts.jsonl"
  run flock "$workspace/runs/.tuned.lock" "$STARLING" --workspace "$workspace" finetune "$folder/posts.jsonl" --name tuned
  [ "$status" -eq 1 ]
  [[ "$output" == *"already holds this lock"*"finetune tuned"* ]]
}

@test "a model of one name is imported by one process" {
  run flock "$workspace/runs/.other.lock" "$STARLING" --workspace "$workspace" import "$folder" --name other
  [ "$status" -eq 1 ]
  [[ "$output" == *"already holds this lock"*"import other"* ]]
}

@test "an ingestion finishes a deletion that could not write the posts" {
  echo '{"id":"1","author":"ada","text":"an unmistakable platypus"}' > "$folder/posts.jsonl"
  "$STARLING" --workspace "$workspace" ingest "$folder/posts.jsonl" > /dev/null
  run flock "$workspace/posts/.lock" "$STARLING" --workspace "$workspace" delete --post 1
  [ "$status" -eq 0 ]
  [[ "$output" == *"Still to do: the raw posts"* ]]
  echo '{"id":"2","author":"ada","text":"another post"}' > "$folder/more.jsonl"
  "$STARLING" --workspace "$workspace" ingest "$folder/more.jsonl" > /dev/null
  run bash -c "zstd -dcq '$workspace'/posts/*.zst"
  [[ "$output" == *"another post"* ]]
  [[ "$output" != *platypus* ]]
}

@test "ingesting the same file twice adds nothing" {
  echo '{"id":"1","text":"a good post about birds"}' > "$folder/posts.jsonl"
  "$STARLING" --workspace "$workspace" ingest "$folder/posts.jsonl" > /dev/null
  run "$STARLING" --workspace "$workspace" --json ingest "$folder/posts.jsonl"
  [ "$status" -eq 0 ]
  [[ "$output" == *'"added": 0'* ]]
}

@test "a truncated archive is an error that names the file and keeps what came before" {
  for i in $(seq 5000); do echo "{\"id\":\"$i\",\"text\":\"post number $i about $RANDOM\"}"; done | gzip > "$folder/posts.jsonl.gz"
  head -c 20000 "$folder/posts.jsonl.gz" > "$folder/cut.jsonl.gz"
  run "$STARLING" --workspace "$workspace" ingest "$folder/cut.jsonl.gz"
  [ "$status" -eq 1 ]
  [[ "$output" == *"cut.jsonl.gz"* && "$output" == *"new posts"* ]]
}

@test "a key has limits of its own, shown in the list" {
  "$STARLING" --workspace "$workspace" keys create plain --role read > /dev/null 2>&1
  run --separate-stderr "$STARLING" --workspace "$workspace" --json keys create trial --role search --requests-per-second 2.5 --tokens-per-day 20000
  [ "$status" -eq 0 ]
  [[ "$output" == *'"tokens_per_day":20000'* && "$output" == *'"key":"sk-starling-'* ]]
  run "$STARLING" --workspace "$workspace" --json keys list
  [ "$output" = '[{"name":"plain","requests_per_second":null,"role":"read","tokens_per_day":null},{"name":"trial","requests_per_second":2.5,"role":"search","tokens_per_day":20000}]' ]
  run "$STARLING" --workspace "$workspace" keys list
  [[ "${lines[1]}" == *"trial"*"2.5 requests/s"*"20000 tokens/day"* ]]
  run "$STARLING" --workspace "$workspace" keys create fast --requests-per-second 0
  [ "$status" -eq 2 ]
}

@test "a key's limits are changed without a new key, and the audit log says so" {
  "$STARLING" --workspace "$workspace" keys create trial --role search --requests-per-second 2 > /dev/null 2>&1
  run "$STARLING" --workspace "$workspace" --json keys set trial --tokens-per-day 500
  [ "$output" = '{"name":"trial","requests_per_second":2.0,"role":"search","tokens_per_day":500}' ]
  run "$STARLING" --workspace "$workspace" keys set trial --reset --tokens-per-day 0
  [[ "$output" == *"trial"*"any number of tokens"* && "$output" != *"requests/s"* ]]
  run "$STARLING" --workspace "$workspace" keys set trial
  [ "$status" -eq 2 ]
  [[ "$output" == *"--tokens-per-day"* ]]
  run "$STARLING" --workspace "$workspace" keys set nobody --tokens-per-day 5
  [ "$status" -eq 2 ]
  [[ "$output" == *"nobody"*"keys list"* ]]
  "$STARLING" --workspace "$workspace" keys revoke trial > /dev/null
  run "$STARLING" --workspace "$workspace" audit list --kind key.
  [[ "${lines[0]}" == *key.created* && "${lines[1]}" == *key.changed* && "${lines[3]}" == *key.revoked* && ${#lines[@]} -eq 4 ]]
}

# Every field of docs/formats/bench.md: a positive number in the JSON on standard input, or in each item of its list.
has_numbers() {
  python3 -c "
import json, sys
text = json.load(sys.stdin)
for name in sys.argv[1:]:
    rows, _, field = name.rpartition('.')
    for item in text[rows] if rows else [text]:
        assert isinstance(item[field], (int, float)) and item[field] > 0, f'{name}: {item.get(field)}'
" "$@"
}

@test "bench machine, gemm and infer print the fields that are documented" {
  "$STARLING" bench machine --json | has_numbers bf16_peak_tflops f32_peak_tflops int8_peak_tflops l2_gb_s l3_gb_s dram_gb_s threads
  "$STARLING" bench gemm -m 64 -n 64 -k 64 --json | has_numbers peak_tflops products.tflops products.best_tflops products.fraction_of_peak threads
  "$STARLING" bench infer --random 30m --prompt 16 --generate 4 --json |
    has_numbers prefill_tokens_per_s decode_tokens_per_s peak_tops fraction_of_peak dram_gb_s fraction_of_bandwidth threads
}

@test "bench train, tokenizer, ads, prepare and serve print the fields that are documented" {
  make_small_model
  python3 -c "import json, sys; [print(json.loads(line)['text']) for line in sys.stdin]" < "$folder/posts.jsonl" > "$folder/text.txt"
  "$STARLING" bench train --layers 1 --width 128 --vocab 256 --seq 16 --batch 2 --steps 2 --json | has_numbers tokens_per_s tflops peak_tflops fraction_of_peak
  "$STARLING" bench tokenizer "$folder/text.txt" --vocab-size 300 --rounds 1 --json | has_numbers encode_mb_s encode_all_threads_mb_s decode_mb_s train_s
  "$STARLING" bench ads "$folder/text.txt" --campaigns 20 --decisions 60 --json |
    has_numbers campaigns decisions with_ad decision_p50_ms decision_p99_ms commit_p50_ms first_decision_ms decision_after_change_ms
  "$STARLING" --quiet bench prepare "$folder/posts.jsonl" --runs 1 --json | has_numbers posts_per_s mb_s peak_memory_bytes
  "$STARLING" --workspace "$workspace" --quiet bench serve --model own --clients 2 --requests 4 --prompt 8 --generate 16 --ttft-ms 60000 --tpot-ms 60000 --json > "$folder/serve.json"
  has_numbers tokens_per_s requests_per_s ttft_p50_ms ttft_p99_ms goodput_rps engine_tokens_per_s fraction_of_engine < "$folder/serve.json"
  # Objectives that nothing misses: every request is good. An answer that came in one piece has no time between pieces.
  python3 -c "
import json, sys
s = json.load(open(sys.argv[1]))
assert s['goodput_rps'] == s['requests_per_s'] and s['failed'] == 0 and s['requests'] == 4, s
assert all(0 <= s[n + '_p50_ms'] <= s[n + '_p99_ms'] for n in ('ttft', 'tpot', 'itl')), s" "$folder/serve.json"
}

@test "opt-out: added, listed, removed, and of a known purpose" {
  export STARLING_WORKSPACE="$workspace"
  "$STARLING" opt-out add alice
  "$STARLING" opt-out add alice --purpose ads --purpose training
  "$STARLING" opt-out remove bob --purpose search
  [ "$("$STARLING" opt-out list)" = "alice                    training ads" ]
  "$STARLING" opt-out remove alice --purpose training --purpose ads
  [ "$("$STARLING" opt-out list --json)" = "[]" ]
  run "$STARLING" opt-out add alice --purpose sales
  [ "$status" -eq 2 ]
}
