#!/usr/bin/env bash
# From a bare Debian 12 or Ubuntu 24.04 to an answer: installs the packages, builds, starts the
# server on the embedded model and asks it something. Works from any directory.
#
#   bash deploy/quickstart.sh          stops the server at the end
#   bash deploy/quickstart.sh --keep   leaves it running
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/build/release/bin
model=$root/deploy/models/nano
log=$root/build/quickstart-server.log
prompt="Extract age, city, name as JSON. Meet Rosa Hill, a painter from Oslo who is 34."

keep=
case "${1:-}" in
  "") ;;
  --keep) keep=yes ;;
  *)
    echo "quickstart.sh: unknown argument '$1' (--keep)" >&2
    exit 2
    ;;
esac

server=
done_well=
stop_server() {
  if [[ -n $server && ! ($keep && $done_well) ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
}
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n[%s/4] %s\n' "$1" "$2"; }
fail() {
  echo "quickstart.sh: $1" >&2
  exit 1
}

# A port nobody listens on: the wanted one, or a random one.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((20000 + RANDOM % 10000))
  done
  echo "$port"
}

step 1 "Installing packages"
bash "$root/deploy/install-packages.sh" build

step 2 "Building into build/release (a few minutes the first time)"
# A compiler may take 1.25 GiB.
jobs=$(nproc)
fitting=$(awk '/^MemAvailable:/ { print int($2 / 1048576 / 1.25) }' /proc/meminfo)
if ((fitting < jobs)); then jobs=$((fitting > 1 ? fitting : 1)); fi
mkdir -p "$root/build"
cd "$root"
cmake --preset release >build/quickstart-configure.log 2>&1 || {
  tail -n 30 build/quickstart-configure.log >&2
  fail "cmake failed; its output is in build/quickstart-configure.log"
}
cmake --build --preset release --parallel "$jobs" --target sparsed sparsedctl sparsed-bench ||
  fail "the build failed"

step 3 "Starting the server on deploy/models/nano"
grpc_address=127.0.0.1:$(free_port 8001)
admin_address=127.0.0.1:$(free_port 8002)
setsid "$bin/sparsed" serve --model "$model" --grpc-address "$grpc_address" \
  --admin-address "$admin_address" --drain-delay-seconds 0 </dev/null >"$log" 2>&1 &
server=$!
for ((tries = 0; ; ++tries)); do
  if "$bin/sparsedctl" health --address "$grpc_address" >/dev/null 2>&1; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then
    tail -n 20 "$log" >&2
    server=
    fail "the server ended; its log is $log"
  fi
  if ((tries >= 600)); then
    tail -n 20 "$log" >&2
    fail "the server is not ready after a minute; its log is $log"
  fi
  sleep 0.1
done
echo "serving gRPC on $grpc_address, health and metrics on http://$admin_address"

step 4 "Asking: $prompt"
ask=("$bin/sparsedctl" chat --address "$grpc_address" --gen-length 32 --message "$prompt")
timeout 120 "${ask[@]}" || fail "the server did not answer; its log is $log"
done_well=yes

show() { printf '  %s\n' "$*"; }
printf '\n'
if [[ $keep ]]; then
  echo "The server runs as process $server (log: $log). Try:"
  show "$bin/sparsedctl chat --address $grpc_address"
  show "$bin/sparsedctl generate --address $grpc_address --prompt 'Once upon a time'"
  show "curl http://$admin_address/metrics"
  show "kill $server"
else
  echo "It works. To go on:"
  show "$bin/sparsed serve --model $model"
  show "$bin/sparsedctl chat --address 127.0.0.1:8001"
fi
