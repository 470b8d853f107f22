#!/usr/bin/env bats
# What a user sees when something is wrong: where, what, what to do; and the exit code. STARLING names the program.

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
  for command in init ingest prepare tokenizer train eval generate import index search ask ads audit delete keys serve plan bench info; do
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
