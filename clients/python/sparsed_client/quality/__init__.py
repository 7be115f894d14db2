"""Does sparse attention lose anything? Paired tasks against a served model.

The command is `sparsed-client quality`; docs/quality.md says what its numbers mean. Tasks are built
for the served model through its tokenizer, every prompt is answered under every variant of the
request's options, and the answers are compared prompt by prompt.
"""

from __future__ import annotations
