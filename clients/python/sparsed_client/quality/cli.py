"""The commands `sparsed-client quality ...`."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import pathlib
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from .._client import Client
from .._table import text_table
from .._types import Model, ServerInfo
from . import (
    _experiments,
    _likelihood,
    _likelihood_report,
    _page,
    _patterns,
    _patterns_report,
    _patterns_run,
    _step_times,
    _tables,
)
from ._domains import DOMAINS
from ._experiments import EXPERIMENTS, Experiment
from ._progress import Progress
from ._records import Results, Settings, Writer, read_all
from ._run import Plan, Run, encoder
from ._suites import SUITES
from ._summary import summarise
from ._variants import Variant, compared, parse_options, parse_variant, read_variants

_EXPERIMENT_LENGTHS = (1024, 4096, 8192)

Connect = Callable[[], Client]


def main(arguments: argparse.Namespace, connect: Connect) -> None:
    """Runs a command. Errors: SparsedError, ValueError, OSError."""
    commands: dict[str, Callable[[argparse.Namespace, Connect], None]] = {
        "tasks": _list,
        "run": _run,
        "report": _report,
        "experiment": _experiment,
        "likelihood": _likelihood_of,
        "patterns": _patterns_of,
    }
    commands[arguments.quality](arguments, connect)


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
    variants = _variants_of(arguments)
    lengths = arguments.lengths or SUITES[arguments.suite].lengths
    results = _ask(arguments, connect, variants, lengths, arguments.output, arguments.gen_length)
    _print(summarise(results))


def _variants_of(arguments: argparse.Namespace) -> list[Variant]:
    variants = [parse_variant(text) for text in arguments.variant]
    if arguments.variants:
        variants += read_variants(arguments.variants)
    if not variants:
        raise ValueError("give --variant or --variants")
    return compared(_with_common(variants, arguments), arguments.baseline)


def _with_common(variants: Sequence[Variant], arguments: argparse.Namespace) -> list[Variant]:
    common = parse_options(arguments.set)
    return [dataclasses.replace(one, options={**common, **one.options}) for one in variants]


def _report(arguments: argparse.Namespace, connect: Connect) -> None:
    summary = _summary(read_all(arguments.results), arguments)
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
        _with_common(experiment.variants(values), arguments),
        arguments.lengths,
        folder / f"{experiment.name}.jsonl",
        gen_length,
    )
    summary = _summary(results, arguments)
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
    # Without order they are the page's own.
    first = [(experiment.title, "".join(plots.values()))] if experiment.ordered else []
    page = _page.page(summary, first)
    (folder / f"{experiment.name}.html").write_text(page, encoding="utf-8")
    _print(summary)


def _likelihood_of(arguments: argparse.Namespace, connect: Connect) -> None:
    variants = _variants_of(arguments)
    text = arguments.text.read_text(encoding="utf-8")
    folder: pathlib.Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    with connect() as client, Progress() as progress:
        model, info = client.model(), client.server_info()
        if arguments.length > model.max_tokens:
            raise ValueError(f"{arguments.length} tokens: {model.name} takes {model.max_tokens}")
        ids = _likelihood.tokens(client, text, arguments.windows * arguments.length)
        parts = _likelihood.windows(ids, arguments.length, arguments.canvas, arguments.windows)
        settings = Settings(
            f"{arguments.text.name}, {arguments.length} tokens ({zlib.crc32(text.encode()):08x})",
            arguments.seed,
            arguments.canvas,
            False,
            _model(model),
            _server(info),
            datetime.date.today().isoformat(),
            {one.name: one for one in variants},
        )
        writer = Writer(folder / "likelihood.jsonl", settings)
        try:
            _likelihood.ask(
                client,
                parts,
                variants,
                arguments.seed,
                arguments.concurrency,
                writer,
                progress.on_done,
            )
        finally:
            writer.close()
    summary = _likelihood.summarise(
        writer.results, arguments.resamples, _step_times.read(arguments.step_times)
    )
    plots = _likelihood_report.plots(summary)
    _write_json(folder / "likelihood.json", summary)
    for name, plot in plots.items():
        (folder / f"likelihood-{name}.svg").write_text(plot, encoding="utf-8")
    page = _likelihood_report.page(summary, plots)
    (folder / "likelihood.html").write_text(page, encoding="utf-8")
    _print_tables([_likelihood_report.table(summary)])


def _patterns_of(arguments: argparse.Namespace, connect: Connect) -> None:
    for name in arguments.domains:
        if name not in DOMAINS:
            raise ValueError(f"domain {name!r} is none of {', '.join(DOMAINS)}")
    questions = _patterns_run.Questions(
        arguments.domains or tuple(DOMAINS),
        arguments.prompts,
        arguments.length,
        arguments.gen_length,
        arguments.steps,
        arguments.inspect_steps or _patterns_run.spread(arguments.steps),
        parse_options(arguments.set),
        arguments.seed,
    )
    with connect() as client, Progress() as progress:
        model, info = client.model(), client.server_info()
        answered = _patterns_run.ask(client, model, questions, progress.on_done)
    summary = {
        "settings": {
            "model": _model(model),
            "server": _server(info),
            "date": datetime.date.today().isoformat(),
            "prompt_tokens": questions.tokens - questions.gen_length,
            "options": questions.request(),
            "seed": questions.seed,
        },
        "block_size": answered.block_size,
        **_patterns.summarise(
            answered.prompts, answered.layers, answered.first_canvas_block, arguments.resamples
        ),
    }
    folder: pathlib.Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    plots = _patterns_report.plots(summary)
    _write_json(folder / "patterns.json", summary)
    for name, plot in plots.items():
        (folder / f"patterns-{name}.svg").write_text(plot, encoding="utf-8")
    (folder / "patterns.html").write_text(_patterns_report.page(summary, plots), encoding="utf-8")
    _print_tables(_patterns_report.tables(summary))


def _summary(results: Results, arguments: argparse.Namespace) -> dict[str, Any]:
    step_times = _step_times.read(arguments.step_times)
    return summarise(results, arguments.resamples, step_times=step_times)


def _values(text: str | None, experiment: Experiment) -> list[Any]:
    """Of the kind of the experiment's own, without repetition. Errors: ValueError."""
    if text is None:
        return list(experiment.values)
    if experiment.by_length:
        raise ValueError(f"{experiment.name} varies the length: --lengths instead of --values")
    parts = text.split(",")
    if isinstance(experiment.values[0], str):
        for part in parts:
            if part not in experiment.values:
                raise ValueError(f"{part!r} is none of {', '.join(experiment.values)}")
    return list(dict.fromkeys(type(experiment.values[0])(part) for part in parts))


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
            _server(info),
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


def _server(info: ServerInfo) -> dict[str, str]:
    return {"version": info.version, "commit": info.commit, "device": info.device}


def _write_json(path: pathlib.Path, summary: dict[str, Any]) -> None:
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _print(summary: dict[str, Any]) -> None:
    _print_tables(
        [
            _tables.overview(summary),
            _tables.apart(summary),
            *_tables.scores(summary, "partial"),
            _tables.likeness(summary),
            _tables.work(summary),
            _tables.elsewhere(summary),
        ]
    )


def _print_tables(tables: Sequence[_tables.Table]) -> None:
    for table in tables:
        if table.rows:
            print(f"\n{table.title}")
            print(text_table(table.titles, table.rows, _tables.words(table)))
