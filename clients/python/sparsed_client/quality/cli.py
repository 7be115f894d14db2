"""The commands `sparsed-client quality ...`."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .._client import Client
from .._table import text_table
from .._types import Model
from . import _experiments, _page, _tables
from ._experiments import EXPERIMENTS, Experiment
from ._progress import Progress
from ._records import Results, Settings, Writer, read_all
from ._run import Plan, Run, encoder
from ._suites import SUITES
from ._summary import summarise
from ._variants import Variant, compared, parse_options, parse_variant, read_variants

_EXPERIMENT_LENGTHS = (1024, 4096, 8192)

Connect = Callable[[], Client]


def add(commands: Any) -> None:
    """The command and those below it."""
    quality: argparse.ArgumentParser = commands.add_parser(
        "quality", help="what sparse attention loses, on paired tasks"
    )
    below = quality.add_subparsers(dest="quality", required=True, metavar="COMMAND")

    tasks = below.add_parser("tasks", help="list the tasks of the suites")
    tasks.add_argument("--suite", choices=SUITES)

    run = below.add_parser("run", help="answer every prompt under every variant")
    _add_plan(run, limit=24, timed=0)
    run.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help="as 's30:select=0.3,skip=0.2'; full is full attention",
    )
    run.add_argument(
        "--variants",
        type=pathlib.Path,
        metavar="FILE.json",
        help="an object of variants, each an object of options",
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of all variants that do not have it",
    )
    run.add_argument("--baseline", metavar="NAME", help="default: the first variant")
    run.add_argument(
        "-o",
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="FILE.jsonl",
        help="the answers; what it has already is not asked again",
    )

    report = below.add_parser("report", help="tables and plots of results")
    report.add_argument("results", type=pathlib.Path, nargs="+", metavar="FILE.jsonl")
    report.add_argument("--html", type=pathlib.Path, metavar="FILE", help="one page, with plots")
    report.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all numbers")
    _add_resamples(report)

    experiment = below.add_parser("experiment", help="vary one thing: a table and plots of it")
    experiment.add_argument("experiment", choices=EXPERIMENTS)
    experiment.add_argument("--values", metavar="X,...", help="instead of the experiment's own")
    _add_plan(experiment, limit=24, timed=4)
    _add_resamples(experiment)
    experiment.add_argument(
        "-o",
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="for answers, numbers, plots and report",
    )


def _add_plan(command: argparse.ArgumentParser, limit: int, timed: int) -> None:
    command.add_argument("--suite", choices=SUITES, default="ruler")
    command.add_argument(
        "--tasks", type=_names, default=(), metavar="NAME,...", help="default: all"
    )
    command.add_argument(
        "--lengths",
        type=_counts,
        metavar="N,...",
        help="tokens of prompt and canvas together, at most",
    )
    command.add_argument(
        "--limit", type=_count, default=limit, metavar="N", help="examples of each task and length"
    )
    command.add_argument(
        "--concurrency", type=_count, default=16, metavar="N", help="requests in flight"
    )
    command.add_argument(
        "--timed",
        type=int,
        default=timed,
        metavar="N",
        help="examples of each length that run once more, alone, for their times",
    )
    command.add_argument(
        "--gen-length",
        type=_count,
        metavar="N",
        help="canvas of every task; default: each has its own",
    )
    command.add_argument(
        "--no-prefix", action="store_true", help="answers do not begin with the task's first words"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N")


def _add_resamples(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resamples", type=_count, default=2000, metavar="N", help="of the bootstrap"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({_count(part) for part in text.split(",")}))


def main(arguments: argparse.Namespace, connect: Connect) -> None:
    """Runs a command. Errors: SparsedError, ValueError, OSError."""
    {"tasks": _list, "run": _run, "report": _report, "experiment": _experiment}[arguments.quality](
        arguments, connect
    )


def _list(arguments: argparse.Namespace, connect: Connect) -> None:
    rows = [
        (suite.name, task.name, str(task.gen_length), task.checker, "" if task.scales else "short")
        for suite in SUITES.values()
        if arguments.suite in (None, suite.name)
        for task in suite.tasks
    ]
    titles = ("SUITE", "TASK", "CANVAS", "CHECKER", "LENGTH")
    print(text_table(titles, rows, ("SUITE", "TASK", "CHECKER", "LENGTH")))


def _run(arguments: argparse.Namespace, connect: Connect) -> None:
    variants = [parse_variant(text) for text in arguments.variant]
    if arguments.variants:
        variants += read_variants(arguments.variants)
    if not variants:
        raise ValueError("give --variant or --variants")
    common = parse_options(arguments.set)
    variants = [Variant(one.name, {**common, **one.options}) for one in variants]
    variants = compared(variants, arguments.baseline)
    lengths = arguments.lengths or SUITES[arguments.suite].lengths
    results = _ask(arguments, connect, variants, lengths, arguments.output, arguments.gen_length)
    _print(summarise(results))


def _report(arguments: argparse.Namespace, connect: Connect) -> None:
    summary = summarise(read_all(arguments.results), arguments.resamples)
    if arguments.json:
        _write_json(arguments.json, summary)
    if arguments.html:
        arguments.html.write_text(_page.page(summary), encoding="utf-8")
    _print(summary)


def _experiment(arguments: argparse.Namespace, connect: Connect) -> None:
    experiment = EXPERIMENTS[arguments.experiment]
    values = _values(arguments.values, experiment)
    gen_length = experiment.gen_length(values) or arguments.gen_length
    folder: pathlib.Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    results = _ask(
        arguments,
        connect,
        experiment.variants(values),
        arguments.lengths,
        folder / f"{experiment.name}.jsonl",
        gen_length,
    )
    summary = summarise(results, arguments.resamples)
    summary["experiment"] = {
        "name": experiment.name,
        "what": experiment.what,
        "values": [
            {"value": value, "variants": [one.name for one in experiment.of(value)]}
            for value in values
        ],
    }
    plots = _experiments.plots(experiment, values, summary)
    _write_json(folder / f"{experiment.name}.json", summary)
    for name, plot in plots.items():
        (folder / f"{experiment.name}-{name}.svg").write_text(plot, encoding="utf-8")
    page = _page.page(summary, [(experiment.title, "".join(plots.values()))])
    (folder / f"{experiment.name}.html").write_text(page, encoding="utf-8")
    _print(summary)


def _values(text: str | None, experiment: Experiment) -> list[Any]:
    """Of the kind of the experiment's own, without repetition. Errors: ValueError."""
    if text is None:
        return list(experiment.values)
    if experiment.by_length:
        raise ValueError(f"{experiment.name} varies the length: --lengths instead of --values")
    return list(dict.fromkeys(type(experiment.values[0])(part) for part in text.split(",")))


def _ask(
    arguments: argparse.Namespace,
    connect: Connect,
    variants: Sequence[Variant],
    lengths: tuple[int, ...] | None,
    output: pathlib.Path,
    gen_length: int | None,
) -> Results:
    """What the file has afterwards."""
    suite = SUITES[arguments.suite]
    suite.chosen(arguments.tasks)
    with connect() as client:
        model, info = client.model(), client.server_info()
        if lengths is None:
            lengths = tuple(n for n in _EXPERIMENT_LENGTHS if n <= model.max_tokens)
        for length in lengths:
            if length > model.max_tokens:
                raise ValueError(f"{length} tokens: {model.name} takes {model.max_tokens}")
        if not suite.cells(arguments.tasks, lengths):
            raise ValueError("none of these tasks comes in one of these lengths")
        prefix = suite.prefix and not arguments.no_prefix
        settings = Settings(
            suite.name,
            arguments.seed,
            gen_length,
            prefix,
            _model(model),
            {"version": info.version, "commit": info.commit, "device": info.device},
            datetime.date.today().isoformat(),
            {one.name: one for one in variants},
        )
        plan = Plan(
            suite,
            arguments.tasks,
            lengths,
            tuple(variants),
            arguments.limit,
            arguments.concurrency,
            arguments.timed,
            arguments.seed,
            gen_length,
            prefix,
        )
        writer = Writer(output, settings)
        try:
            with Progress() as progress:
                encode = encoder(client, model.chat_template, prefix)
                run = Run(client, plan, encode, writer, progress.on_done)
                run.run()
        finally:
            writer.close()
    for reason in run.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return writer.results


def _model(model: Model) -> dict[str, Any]:
    kept = (
        "name",
        "family",
        "parameters",
        "layers",
        "heads",
        "head_dim",
        "max_tokens",
        "dtype",
        "weights",
        "device",
        "chat_template",
    )
    return {
        **{name: getattr(model, name) for name in kept},
        "end_ids": [token.id for token in model.end_tokens],
    }


def _write_json(path: pathlib.Path, summary: dict[str, Any]) -> None:
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _print(summary: dict[str, Any]) -> None:
    tables = [
        _tables.overview(summary),
        _tables.apart(summary),
        *_tables.scores(summary, "partial"),
        _tables.likeness(summary),
        _tables.work(summary),
    ]
    for table in tables:
        if table.rows:
            print(f"\n{table.title}")
            print(text_table(table.titles, table.rows, _tables.words(table)))
