#!/usr/bin/env bash
# Every source file is as clang-format 14 writes it. `--fix` rewrites those that are not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

formatter=clang-format-14
command -v "$formatter" >/dev/null || {
  echo "no $formatter: run 'bash deploy/install-packages.sh test'" >&2
  exit 1
}
mapfile -d '' files < <(find kernels engine server clients tests -type f \
  \( -name '*.h' -o -name '*.cc' -o -name '*.inc' -o -name '*.cu' -o -name '*.cuh' \) -print0)
[[ ${#files[@]} -gt 0 ]] || { echo "no source files found" >&2; exit 1; }

if [[ ${1:-} == --fix ]]; then
  "$formatter" -i "${files[@]}"
elif ! "$formatter" --dry-run -Werror "${files[@]}" 2>&1 | awk -F: '
    / error: code should be clang-formatted/ { count[$1]++; next }
    / error: / { print }
    END { for (file in count) { print file ": " count[file] " places"; bad = 1 } exit bad }'; then
  echo "not formatted; 'bash tests/format_test.sh --fix' rewrites them" >&2
  exit 1
else
  echo "${#files[@]} files are formatted"
fi
