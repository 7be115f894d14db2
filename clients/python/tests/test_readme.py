"""README.md's examples print what it says."""

import pathlib
import re
import textwrap

import pytest

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n([^`]*)```\n\nprints\n\n((?:    [^\n]*\n)+)", README.read_text())


@pytest.mark.parametrize("code, output", EXAMPLES, ids=["generate", "masks"])
def test_an_example(target, capsys, tmp_path, monkeypatch, code, output):
    assert '"127.0.0.1:8001"' in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace('"127.0.0.1:8001"', "**target"), {"target": target})

    # The last digits of what is measured differ between processors, and with them which head of
    # some equal ones is named.
    def rounded(text):
        return re.sub(r"\d\.\d{3}|\d+\.\d%|\bL\d H\d\b", "N", text)
    assert rounded(capsys.readouterr().out) == rounded(textwrap.dedent(output))
