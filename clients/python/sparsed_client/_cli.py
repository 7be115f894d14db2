"""The command `sparsed-client`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ._client import Client
from ._convert import enum_names
from ._errors import SparsedError, Unimplemented
from ._masks import Masks, json_of, received
from ._requests import OPTION_TABLE, ChatTurn, generate_request, inspect_request
from ._terminal import printable
from ._types import Result, TokenDetail
from .quality import _arguments as quality_arguments
from .quality import cli as quality_cli

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130


def _add_options(command: argparse.ArgumentParser) -> None:
    """A flag for every option of a generation: --gen-length for gen_length."""
    group = command.add_argument_group("options", "as proto/sparsed/v1/generation.proto says")
    for name, (part, field) in OPTION_TABLE.items():
        kind: dict[str, Any] = {"metavar": "N", "type": int}
        if field.enum_type is not None:
            kind = {"choices": [value for number, value in enum_names(field).items() if number]}
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            kind = {"action": argparse.BooleanOptionalAction}
        elif field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            kind = {"metavar": "X", "type": float}
        elif name == "stop":
            kind = {"metavar": "TEXT", "action": "append"}
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            kind = {"metavar": "TEXT"}
        elif field.default_value == []:  # of a repeated field
            kind = {"metavar": "N,...", "type": _numbers}
        flag = "--" + name.replace("_", "-")
        where = f"{part}.{field.name}".lstrip(".")
        group.add_argument(flag, dest=name, help=where, default=None, **kind)
    command.add_argument("--json", action="store_true", help="print the whole result")


def _add_masks(command: argparse.ArgumentParser) -> None:
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("prompt", nargs="?")
    source.add_argument("--message", metavar="TEXT", help="a turn instead of a prompt")
    for flag, what in (
        ("--layers", "layers to inspect, from 0; default: all"),
        ("--heads", "heads to inspect, from 0; default: all"),
        ("--inspect-steps", "steps to inspect beside the one that selects, from 0"),
    ):
        command.add_argument(flag, type=_numbers, metavar="N,...", help=what)
    command.add_argument(
        "--no-importance", action="store_true", help="not how much attention each block has"
    )
    _add_options(command)


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no numbers with commas between") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sparsed-client", description="A client of sparsed.")
    parser.add_argument("--address", default="127.0.0.1:8001", metavar="HOST:PORT")
    parser.add_argument("--tls-ca", type=pathlib.Path, metavar="FILE", help="TLS, its authority")
    parser.add_argument("--tls-cert", type=pathlib.Path, metavar="FILE", help="certificate to show")
    parser.add_argument("--tls-key", type=pathlib.Path, metavar="FILE", help="its key")
    parser.add_argument("--token-file", type=pathlib.Path, metavar="FILE", help="the bearer token")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of each call")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generate = commands.add_parser("generate", help="continue a text")
    generate.add_argument("prompt")
    chat = commands.add_parser("chat", help="talk; without --message in turns, until end of file")
    chat.add_argument("--message", metavar="TEXT", help="one turn, and its answer")
    for command in (generate, chat):
        _add_options(command)
        command.add_argument("--live", action="store_true", help="show the canvas denoising")
    _add_masks(commands.add_parser("masks", help="which blocks of its attention a request keeps"))
    plots = {
        "plot-trajectory": "which step committed which position, of generate --json",
        "plot-masks": "kept blocks, recall and similarity, of masks --json",
    }
    for name, what in plots.items():
        plot = commands.add_parser(name, help=what)
        plot.add_argument("file", type=pathlib.Path, metavar="FILE.json")
        plot.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="FILE.svg")
    plot.add_argument("--step", type=int, metavar="N", help="default: the step that selects")
    quality_arguments.add(commands)
    return parser


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(result), indent=1))
    elif sys.stdout.isatty():
        print(printable(result.text))
    else:
        print(result.text)


def _run(client: Client, arguments: argparse.Namespace, **source: Any) -> Result:
    options = {name: getattr(arguments, name) for name in OPTION_TABLE}
    if not arguments.live:
        return client.generate(**source, **options)
    from rich.console import Console

    from ._live import show

    stream = client.stream(**source, **options, frames=True, progress=True)
    result = show(stream, Console(stderr=True))
    assert result is not None  # A stream without an error ends with it.
    return result


def _chat(client: Client, arguments: argparse.Namespace) -> None:
    if arguments.message is not None:
        _print(_run(client, arguments, messages=arguments.message), arguments.json)
        return
    turns: list[ChatTurn] = []
    while True:
        try:
            text = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        turns.append({"role": "user", "content": text})
        result = _run(client, arguments, messages=turns)
        _print(result, arguments.json)
        turns.append({"role": "assistant", "content": result.text})


def _masks(client: Client, arguments: argparse.Namespace) -> None:
    options = {name: getattr(arguments, name) for name in OPTION_TABLE}
    request = generate_request(arguments.prompt, arguments.message, None, None, options)
    messages = client._inspect(
        inspect_request(
            request,
            arguments.layers,
            arguments.heads,
            arguments.inspect_steps,
            not arguments.no_importance,
        ),
        None,
    )
    masks = received(messages)
    print(json_of(messages) if arguments.json else masks)


def _connect(arguments: argparse.Namespace) -> Client:
    token = arguments.token_file and arguments.token_file.read_text().strip()
    roots = arguments.tls_ca and arguments.tls_ca.read_bytes()
    certificate = None
    if arguments.tls_cert or arguments.tls_key:
        if not (arguments.tls_ca and arguments.tls_cert and arguments.tls_key):
            raise ValueError("--tls-cert and --tls-key need one another, and --tls-ca")
        certificate = (arguments.tls_cert.read_bytes(), arguments.tls_key.read_bytes())
    return Client(
        arguments.address,
        token=token,
        root_certificates=roots,
        client_certificate=certificate,
        timeout=arguments.timeout,
    )


def _talk(arguments: argparse.Namespace) -> None:
    with _connect(arguments) as client:
        if arguments.command == "chat":
            _chat(client, arguments)
        elif arguments.command == "masks":
            _masks(client, arguments)
        else:
            _print(_run(client, arguments, prompt=arguments.prompt), arguments.json)


def _trajectory(path: pathlib.Path) -> tuple[list[TokenDetail], int | None]:
    """The tokens of a saved result, and the steps done where it says."""
    result = json.loads(path.read_text(encoding="utf-8"))
    tokens = result.get("tokens") if isinstance(result, dict) else None
    if not tokens:
        raise ValueError(f"{path}: no tokens; make it with --token-confidences --json")
    usage = result.get("usage") or {}
    steps = sum(usage.get(f"{kind}_steps", 0) for kind in ("full", "select", "sparse"))
    try:
        return [TokenDetail(**token) for token in tokens], steps or None
    except TypeError:
        raise ValueError(f"{path}: tokens without commit_step and confidence") from None


def _plot(arguments: argparse.Namespace) -> None:
    """The picture's format is that of the name's ending."""
    # matplotlib takes a while: a bad file is refused at once.
    if arguments.command == "plot-masks":
        masks = Masks.from_json(arguments.file.read_text(encoding="utf-8"))
        from . import plot

        figure = plot.masks(masks, arguments.step)
    else:
        tokens, steps = _trajectory(arguments.file)
        from . import plot

        figure = plot.trajectory(tokens, steps)
    import matplotlib

    # The same result gives the same file.
    metadata = {"Date": None} if arguments.output.suffix == ".svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "sparsed"}):
        figure.savefig(arguments.output, metadata=metadata)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    plots = arguments.command.startswith("plot-")
    try:
        if plots:
            _plot(arguments)
        elif arguments.command == "quality":
            quality_cli.main(arguments, lambda: _connect(arguments))
        else:
            _talk(arguments)
    except ModuleNotFoundError as error:
        extra = "plot" if plots else "live"
        print(f"{error}: pip install 'sparsed-client[{extra}]'", file=sys.stderr)
        return _EXIT_FAILED
    except (SparsedError, OSError, ValueError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        inspects = (arguments.command, getattr(arguments, "quality", None))
        if isinstance(error, Unimplemented) and {"masks", "plot-masks", "patterns"} & {*inspects}:
            print("  patterns need a server started with --enable-inspection", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0
