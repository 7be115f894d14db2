#!/usr/bin/env python3
"""The links of all Markdown files lead somewhere, and docs/README.md leads to all of docs/.

    python3 tests/unit/links_test.py
"""

import os
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


def pages(root):
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders
                      if name == ".github" or not name.startswith(".") and name != "build"]
        yield from (pathlib.Path(folder) / name for name in files if name.endswith(".md"))


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))


def anchors(page):
    """What GitHub makes of the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"),
                  flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in HEADING.findall(text)}


def breaches(root):
    """Every link that leads nowhere, and every page that the index leaves out."""
    linked = set()
    for page in pages(root):
        for target in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            where = page.relative_to(root)
            if where == pathlib.Path("docs/README.md"):
                linked.add(there)
            if not there.exists():
                yield f"{where}: there is no {target}"
            elif anchor and there.suffix == ".md" and anchor not in anchors(there):
                yield f"{where}: no heading for {target}"
    for page in sorted((root / "docs").glob("*.md")):
        if page.resolve() not in linked and page.name != "README.md":
            yield f"docs/README.md: does not lead to {page.name}"


def self_test():
    """Each breach made for it is found."""
    with tempfile.TemporaryDirectory() as folder:
        docs = pathlib.Path(folder).resolve() / "docs"
        docs.mkdir()
        (docs / "a.md").write_text("# One thing: `b`\n[x](b.md) [y](#one-thing-b) `[z](c.md)`\n")
        (docs / "README.md").write_text("[a](a.md#one-thing-b) [a](a.md#two) [w](https://x/y)\n")
        (docs / "left.md").write_text("")
        assert sorted(breaches(docs.parent)) == [
            "docs/README.md: does not lead to left.md", "docs/README.md: no heading for a.md#two",
            "docs/a.md: there is no b.md"], list(breaches(docs.parent))


def main():
    self_test()
    found = list(breaches(ROOT))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(pages(ROOT)))} pages, {len(found)} breaches")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
