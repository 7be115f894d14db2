#!/bin/sh
# Runs a CUDA compiler (all arguments) and fails where ptxas reports a spilled register, a stack
# frame, or a serialised wgmma and its like (C75xx): it calls them information only, and each of
# them costs a kernel its speed. Needs -Xptxas -v among the arguments.
report=$(mktemp)
"$@" 2>"$report"
status=$?
bad='\(C75[0-9][0-9]\)|[1-9][0-9]* bytes (stack frame|spill stores|spill loads)|are spilled'
if grep -Eq "$bad" "$report"; then
  grep -E "Compiling entry|$bad" "$report" >&2
  echo "ptxas gate: refused" >&2
  status=1
fi
grep -Ev '^ptxas info|^ +[0-9]+ bytes stack frame' "$report" >&2
rm -f "$report"
exit $status
