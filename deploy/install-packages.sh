#!/usr/bin/env bash
# Installs the distribution's packages that sparsed needs, on Debian 12 and Ubuntu 24.04. Does
# nothing, and needs neither root nor a network, where they are all there.
#
#   bash deploy/install-packages.sh [build|test] [--list]
#
#   build    what building the server, the clients and sparsed-bench needs (default)
#   test     also what tests/run.sh needs
#   --list   print the names instead
set -euo pipefail

set_name=build
list_only=
for argument in "$@"; do
  case "$argument" in
    build | test) set_name=$argument ;;
    --list) list_only=yes ;;
    *)
      echo "install-packages.sh: unknown argument '$argument' (build, test or --list)" >&2
      exit 2
      ;;
  esac
done

packages=(
  # Tools.
  ca-certificates cmake g++ ninja-build pkg-config python3
  # Wire: gRPC, Protocol Buffers, Abseil.
  libabsl-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  # Engine: JSON, regular expressions and Unicode of the tokenizer, matrix products.
  libdnnl-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev
  # Server and clients: options, log, metrics, HTTP, certificates, gzip.
  libcli11-dev libcpp-httplib-dev libspdlog-dev libssl-dev prometheus-cpp-dev zlib1g-dev
  # The preset builds the tests' targets into the same graph.
  catch2
)
if [[ $set_name == test ]]; then
  packages+=(
    buildah catatonit ccache clang-format-14 dpkg-dev file mmdebstrap openssl podman prometheus
    python3-grpcio python3-protobuf python3-pytest python3-venv runc)
  # The browser that clicks through the playground; Ubuntu has it as a snap alone.
  if grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    packages+=(chromium chromium-driver python3-selenium)
  fi
fi

if [[ -n $list_only ]]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "install-packages.sh: this is not Debian or Ubuntu; install the equivalents of:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || {
    echo "install-packages.sh: run as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1
}
echo "installing ${#missing[@]} packages: ${missing[*]}"
# A source of packages that we do not need may be unreachable: only a failed install counts.
apt update || echo "install-packages.sh: 'apt-get update' failed; trying with the known lists" >&2
apt install --yes --no-install-recommends "${missing[@]}" || {
  tail -n 30 "$log" >&2
  echo "install-packages.sh: installing failed" >&2
  exit 1
}
echo "installed"
