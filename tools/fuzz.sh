#!/usr/bin/env bash
# Runs fuzz targets one after another, each for SECONDS, beginning with small valid inputs and what earlier runs found.
# Prints a line a target; exits 1 when one found something, and says where its input lies.
#
# usage: fuzz.sh BUILD_FOLDER SECONDS [TARGET...]      TARGET: gguf, json_schema, ...; all without one
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- $(cd "$build/fuzz" && ls | sed -n 's/_fuzz$//p')
python3 tools/fuzz_seeds.py "$build/seeds"
# An allocation that a parser's input asks for must fail as one does in the program, not end the fuzzer.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=0:detect_leaks=1}
failed=0
for target in "$@"; do
  corpus=$build/corpus/$target found=$build/found/$target log=$build/found/$target/log
  mkdir -p "$corpus" "$found"
  # 32 KB: parsers of text are no better tested by more, and slower.
  if "$build/fuzz/${target}_fuzz" -max_total_time="$seconds" -max_len=32768 -timeout=10 -rss_limit_mb=3072 \
      -malloc_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$found/" "$corpus" "$build/seeds/$target" > "$log" 2>&1
  then result=ok; else result=FOUND failed=1; fi
  runs=$(sed -n 's/stat::number_of_executed_units: *//p' "$log")
  echo "$target: $result, ${runs:-?} runs in $seconds s, $(ls "$corpus" | wc -l) inputs kept$([ $result = ok ] || echo "; $log")"
done
exit $failed
