#!/usr/bin/env bash
# Measures everything that README.md's result table shows, into tests/bench/results. Needs a quiet
# machine, a release build and, for the comparison, a Python with torch and numpy.
#
#   bash tests/bench/run.sh [BENCH [PYTHON]]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bench=${1:-$root/build/release/bin/sparsed-bench}
python=${2:-$root/build/venv/bin/python}
results=$root/tests/bench/results
nano=$root/deploy/models/nano
mkdir -p "$results"

"$bench" step --model "$nano" --context 128 1024 4096 --select 0.3 --json "$results/step-nano.json"
"$bench" attention --model "$nano" --context 1024 4096 --json "$results/attention-nano.json"
for mode in off sparsed; do
  "$bench" generate --model "$nano" --context 1024 4096 --sparse "$mode" \
    --json "$results/generate-nano-$mode.json"
done
"$bench" generate --model "$nano" --context 512 --batch 8 --json "$results/generate-nano-batch8.json"
"$bench" generate --model "$nano" --context 512 --batch 1 --json "$results/generate-nano-batch1.json"
"$python" "$root/tests/bench/pytorch_cpu_step.py" --bench "$bench" \
  --json "$results/pytorch-cpu.json"
