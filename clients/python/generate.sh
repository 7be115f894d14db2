#!/usr/bin/env bash
# Writes the messages in sparsed_client/_proto, which are checked in, from the contract in proto/.
#
#   bash clients/python/generate.sh [FOLDER]
#
# Needs protoc 3.21 (SPARSED_PROTOC names another). The messages get a package of their own: Python
# knows one registry of them a process, and other libraries there bring google.rpc and grpc.health.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$here/../../proto
out=${1:-$here/sparsed_client/_proto}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package=$work/sparsed_client/_proto
mkdir -p "$package" "$out"
for file in sparsed/v1/generation sparsed/v1/inspection sparsed/v1/model google/rpc/status \
  google/rpc/error_details grpc/health/v1/health; do
  sed -E -e 's|^package .*;|package sparsed_client;|' \
    -e 's|^import "sparsed/v1/|import "sparsed_client/_proto/|' \
    "$proto/$file.proto" >"$package/$(basename "$file").proto"
done
(cd "$work" && "${SPARSED_PROTOC:-protoc}" -I . --python_out=. --pyi_out=. \
  sparsed_client/_proto/*.proto)
cp "$package"/*_pb2.py "$package"/*_pb2.pyi "$out"
