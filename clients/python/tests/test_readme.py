"""README.md's first example prints what it says."""

import pathlib
import re
import textwrap

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


def test_the_first_example(target, capsys):
    code, output = re.search(r"```python\n(.*?)```\n\nprints\n\n((?:    [^\n]*\n)+)",
                             README.read_text(), re.DOTALL).groups()
    assert '"127.0.0.1:8001"' in code
    exec(code.replace('"127.0.0.1:8001"', "**target"), {"target": target})
    assert capsys.readouterr().out == textwrap.dedent(output)
