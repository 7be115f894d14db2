#!/usr/bin/env bash
# Runs every test: installs what they need, builds, and ends with one line, "N passed, N failed".
# Works from any directory and in any clone; writes only under build/.
#
#   bash tests/run.sh            everything
#   bash tests/run.sh release    only the release build and its tests
#   bash tests/run.sh asan|tsan  only that sanitizer
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit
exec </dev/null

case "${1:-all}" in
  all) parts=(release asan tsan) ;;
  release | asan | tsan) parts=("$1") ;;
  *)
    echo "run.sh: unknown part '$1' (release, asan or tsan)" >&2
    exit 2
    ;;
esac

venv=$root/build/venv
# A cache filled in one clone serves another, whatever its folder.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:halt_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS="suppressions=$root/tests/tsan.supp history_size=7"

# A compiler may take 1.7 GiB, with sanitizers.
jobs=$(nproc)
fitting=$(awk '/^MemAvailable:/ { print int($2 / 1048576 / 1.7) }' /proc/meminfo)
((fitting < jobs)) && jobs=$((fitting > 1 ? fitting : 1))

passed=0
failed=0
report=()

finish() {
  printf '\n%-28s %8s  %s\n' "phase" "seconds" "result"
  printf '%s\n' "${report[@]}"
  printf '%-28s %8d\n\n' "total" "$SECONDS"
  echo "$passed passed, $failed failed"
  ((failed == 0 && passed > 0))
  exit
}

# phase NAME COMMAND...: one step that passes or fails as a whole.
phase() {
  local name=$1 start=$SECONDS result=passed
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    result=FAILED
  fi
  report+=("$(printf '%-28s %8d  %s' "$name" $((SECONDS - start)) "$result")")
  [[ $result == passed ]]
}

# junit_count FILE ATTRIBUTE: a number from the head of ctest's report.
junit_count() {
  sed -nE "/<testsuite /,/>/ s/.*[[:space:]]$2=\"([0-9]+)\".*/\1/p" "$1" | head -n 1
}

# tests NAME FOLDER ARGUMENTS...: runs ctest there. A test that did not run has failed, and so has
# a phase without tests.
tests() {
  local name=$1 folder=$2 start=$SECONDS junit total good kind count
  shift 2
  printf '\n== %s\n' "$name"
  junit=$root/build/junit/${name//[^a-z0-9]/-}.xml
  mkdir -p "$root/build/junit"
  rm -f "$junit"
  "${plain_addresses[@]}" ctest --test-dir "$folder" --no-tests=error --output-on-failure \
    --timeout 600 --output-junit "$junit" "$@"
  local status=$?
  # What pytest left out of a file that passed, and why: ctest does not show it.
  grep -h '^SKIPPED' "$folder/Testing/Temporary/LastTest.log" || true
  total=$(junit_count "$junit" tests 2>/dev/null)
  total=${total:-0}
  good=$total
  for kind in failures disabled skipped; do
    count=$(junit_count "$junit" "$kind" 2>/dev/null)
    good=$((good - ${count:-0}))
  done
  # The exit status and the report must agree, and there must be something in it.
  if ((total == 0 || (status != 0 && good == total))); then
    total=$((good + 1))
  fi
  passed=$((passed + good))
  failed=$((failed + total - good))
  report+=("$(printf '%-28s %8d  %d of %d passed' "$name" $((SECONDS - start)) "$good" "$total")")
}

# What tests of the release build take from PyPI.
python_packages() {
  if [[ ! -x $venv/bin/python ]]; then
    /usr/bin/python3 -m venv "$venv" || return
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
}

# build PRESET TARGET...
build() {
  local preset=$1
  shift
  cmake --preset "$preset" -DSPARSED_BUILD_TESTS=ON -DSPARSED_BUILD_SERVER=ON \
    >"build/$preset.configure.log" 2>&1 || {
    cat "build/$preset.configure.log"
    return 1
  }
  "${plain_addresses[@]}" cmake --build --preset "$preset" --parallel "$jobs" --target "$@"
}

# build_part PART: what the tests of PART need.
build_part() {
  case $1 in
    release) build release all ;;
    asan) build cpu-asan tests/{unit/kernels,unit/engine,unit/server,fuzz}/all ;;
    # Of the kernels only the thread pool and its users: the rest is arithmetic within a task. Of
    # the engine all but the readers of checkpoints and tokenizers, which start no thread.
    tsan) build cpu-tsan kernels_ops_test tests/unit/{engine,server}/all ;;
  esac
}

# What runs beside the rest, by name: the process group, which ends with this script.
declare -A begun=()
end_begun() {
  local group
  for group in "${begun[@]}"; do kill -- "-$group" 2>/dev/null; done
}
trap end_begun EXIT

# begin NAME COMMAND...: starts it beside what follows.
begin() {
  local name=$1
  shift
  set -m
  "$@" >"build/$name.log" 2>&1 &
  begun[$name]=$!
  set +m
}

# await NAME COMMAND...: waits for it if it was begun, else runs it.
await() {
  local name=$1
  shift
  if [[ ! -v begun[$name] ]]; then
    "$@"
    return
  fi
  wait "${begun[$name]}"
  local status=$?
  unset "begun[$name]"
  cat "build/$name.log"
  return $status
}

# Beside tests, which wait more than they compute: it gets what they leave of the processor, since
# its scheduling class gives way at once.
build_idly() {
  chrt --idle --pid 0 "$BASHPID" && build_part "$1"
}

# GCC's sanitizers do not start where the kernel randomises more than 28 bits of an address.
plain_addresses=()
if [[ $(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28) -gt 28 ]] &&
  setarch "$(uname -m)" -R true 2>/dev/null; then
  plain_addresses=(setarch "$(uname -m)" -R)
fi

mkdir -p build
phase "install" bash deploy/install-packages.sh test || finish

for part in "${parts[@]}"; do
  case $part in
    release)
      begin python-packages python_packages
      phase "release: build" build_part release || continue
      phase "python packages" await python-packages python_packages || continue
      phase "buf lint" "$venv/bin/buf" lint proto
      phase "buf breaking" "$venv/bin/buf" breaking proto --against proto/released.binpb
      tests "release: unit and style" build/release --label-exclude '^(golden|integration)$' \
        --parallel "$jobs"
      tests "release: golden" build/release --label-regex '^golden$'
      [[ " ${parts[*]} " == *" asan "* ]] && begin asan.build build_idly asan
      tests "release: integration" build/release --label-regex '^integration$' \
        --parallel "$jobs"
      ;;
    asan)
      phase "asan: build" await asan.build build_part asan || continue
      tests "asan: kernels" build/cpu-asan/tests/unit/kernels --parallel "$jobs"
      tests "asan: engine" build/cpu-asan/tests/unit/engine --parallel "$jobs"
      tests "asan: server" build/cpu-asan/tests/unit/server --parallel "$jobs"
      tests "asan: fuzz corpus" build/cpu-asan/tests/fuzz --parallel "$jobs"
      ;;
    tsan)
      phase "tsan: build" build_part tsan || continue
      tests "tsan: kernels" build/cpu-tsan/tests/unit/kernels --tests-regex '^kernels_ops_test:' \
        --parallel "$jobs"
      tests "tsan: engine" build/cpu-tsan/tests/unit/engine --parallel "$jobs"
      tests "tsan: server" build/cpu-tsan/tests/unit/server --parallel "$jobs"
      ;;
  esac
done
finish
