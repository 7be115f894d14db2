#!/usr/bin/env python3
"""The reference of the contract, docs/api.md, from the comments in proto/sparsed/v1.

    python3 proto/api_page.py > docs/api.md    write it
    python3 proto/api_page.py --check          1, and how they differ, if docs/api.md is another

What has no comment is an error. Needs protoc (SPARSED_PROTOC names another) and python3-protobuf.
"""

import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2 as d

PROTO = pathlib.Path(__file__).resolve().parent
PAGE = PROTO.parent / "docs" / "api.md"
FILES = ["generation", "inspection", "model"]
INTRO = """\
# API

Every call, message, field and value of package `sparsed.v1`, from the comments in
[proto/sparsed/v1](../proto/sparsed/v1/generation.proto). `python3 proto/api_page.py > docs/api.md` writes
this page; a test compares it. How calls fail: [errors.md](errors.md). How to call from five languages:
[grpc.md](grpc.md).
"""
# Numbers of fields in descriptor.proto, of which paths to comments are made.
MESSAGE, ENUM, SERVICE, SYNTAX, FIELD, ONEOF, METHOD, VALUE = 4, 5, 6, 12, 2, 8, 2, 2
SCALARS = {number: name[5:].lower() for name, number in d.FieldDescriptorProto.Type.items()}


def compile_contract():
    """The files of the contract, with their comments."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "set")
        subprocess.run([os.environ.get("SPARSED_PROTOC", "protoc"), "-I", str(PROTO),
                        "--include_source_info", f"--descriptor_set_out={out}",
                        *(f"sparsed/v1/{name}.proto" for name in FILES)], check=True)
        with open(out, "rb") as file:
            return d.FileDescriptorSet.FromString(file.read()).file


class Page:
    """The text of a file's chapter; what lacks a comment is in `missing`."""

    def __init__(self, file):
        self.file = file
        self.missing = []
        self._comments = {tuple(place.path): place.leading_comments
                          for place in file.source_code_info.location}

    def comment(self, name, *path):
        text = " ".join(self._comments.get(path, "").split())
        if not text:
            self.missing.append(f"proto/{self.file.name}: no comment on {name}")
        return text

    def text(self):
        name = pathlib.PurePath(self.file.name).name
        parts = [f"## {name}\n\n{self.comment('the file', SYNTAX)}\n"]
        parts += [self._service(*one) for one in enumerate(self.file.service)]
        # As a reader meets them: in the order of the file.
        types = [(place.span[0], place.path[0], place.path[1])
                 for place in self.file.source_code_info.location
                 if len(place.path) == 2 and place.path[0] in (MESSAGE, ENUM)]
        for _, kind, index in sorted(types):
            parts.append(self._message(index) if kind == MESSAGE else self._enum(index))
        return "\n".join(parts)

    def _service(self, index, service):
        what = self.comment(service.name, SERVICE, index)
        lines = [f"### {service.name}\n\n{what}\n", "| call | takes | returns | |", "|---|---|---|---|"]
        for place, method in enumerate(service.method):
            returns = type_link(method.output_type)
            if method.server_streaming:
                returns = "a stream of " + returns
            lines.append(row(f"`{method.name}`", type_link(method.input_type), returns,
                             self.comment(f"{service.name}.{method.name}", SERVICE, index, METHOD,
                                          place)))
        return "\n".join(lines) + "\n"

    def _message(self, index):
        message = self.file.message_type[index]
        text = f"### {message.name}\n\n{self.comment(message.name, MESSAGE, index)}\n"
        lines = ["\n| field | type | |", "|---|---|---|"] if message.field else []
        seen = set()
        for place, field in enumerate(message.field):
            if (field.HasField("oneof_index") and not field.proto3_optional
                    and field.oneof_index not in seen):
                seen.add(field.oneof_index)
                oneof = message.oneof_decl[field.oneof_index].name
                what = self.comment(f"{message.name}.{oneof}", MESSAGE, index, ONEOF,
                                    field.oneof_index)
                lines.append(row(f"_{oneof}_", "one of", what))
            in_oneof = field.HasField("oneof_index") and not field.proto3_optional
            lines.append(row(("· " if in_oneof else "") + f"`{field.name}` = {field.number}",
                             field_type(message, field),
                             self.comment(f"{message.name}.{field.name}", MESSAGE, index, FIELD,
                                          place)))
        return text + "\n".join(lines) + ("\n" if lines else "")

    def _enum(self, index):
        enum = self.file.enum_type[index]
        lines = [f"### {enum.name}\n\n{self.comment(enum.name, ENUM, index)}\n",
                 "| value | |", "|---|---|"]
        for place, value in enumerate(enum.value):
            lines.append(row(f"`{value.name}` = {value.number}",
                             self.comment(value.name, ENUM, index, VALUE, place)))
        return "\n".join(lines) + "\n"


def row(*cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_link(name):
    """A type by its full name, as a link where this page has it."""
    match = re.fullmatch(r"\.sparsed\.v1\.(\w+)", name)
    return f"[{match[1]}](#{match[1].lower()})" if match else f"`{name.lstrip('.')}`"


def field_type(message, field):
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith("." + nested.name):
            key, value = (field_type(nested, part) for part in nested.field)
            return f"map from {key} to {value}"
    name = type_link(field.type_name) if field.type_name else SCALARS[field.type]
    if field.label == d.FieldDescriptorProto.LABEL_REPEATED:
        return "repeated " + name
    return "optional " + name if field.proto3_optional else name


def main():
    pages = [Page(file) for file in compile_contract()]
    text = INTRO + "\n" + "\n".join(page.text() for page in pages)
    missing = [line for page in pages for line in page.missing]
    if missing:
        sys.exit("\n".join(missing))
    if sys.argv[1:] != ["--check"]:
        sys.stdout.write(text)
        return
    written = PAGE.read_text(encoding="utf-8")
    if text != written:
        sys.stdout.writelines(difflib.unified_diff(
            written.splitlines(True), text.splitlines(True), "docs/api.md", "the comments"))
        sys.exit("docs/api.md is not what the comments say; 'python3 proto/api_page.py >"
                 " docs/api.md' writes it")


if __name__ == "__main__":
    main()
