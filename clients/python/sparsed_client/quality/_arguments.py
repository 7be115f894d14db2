"""The arguments of `sparsed-client quality ...`."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from ._experiments import EXPERIMENTS
from ._suites import SUITES


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
    _add_variants(run)
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
    _add_step_times(report)

    experiment = below.add_parser("experiment", help="vary one thing: a table and plots of it")
    experiment.add_argument("experiment", choices=EXPERIMENTS)
    experiment.add_argument("--values", metavar="X,...", help="instead of the experiment's own")
    experiment.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of all variants that do not have it",
    )
    _add_plan(experiment, limit=24, timed=4)
    _add_resamples(experiment)
    _add_step_times(experiment)
    experiment.add_argument(
        "-o",
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="for answers, numbers, plots and report",
    )

    likelihood = below.add_parser(
        "likelihood", help="what tokens of a text the model would give, and how its logits drift"
    )
    likelihood.add_argument("--text", type=pathlib.Path, required=True, metavar="FILE")
    likelihood.add_argument(
        "--length",
        type=_count,
        default=1024,
        metavar="N",
        help="tokens of a window, prompt and canvas",
    )
    likelihood.add_argument(
        "--canvas", type=_count, default=64, metavar="N", help="of these the last, which are given"
    )
    likelihood.add_argument(
        "--windows", type=_count, default=32, metavar="N", help="at most, from the text's start"
    )
    _add_variants(likelihood)
    likelihood.add_argument(
        "--concurrency", type=_count, default=16, metavar="N", help="requests in flight"
    )
    likelihood.add_argument("--seed", type=int, default=1, metavar="N")
    _add_resamples(likelihood)
    _add_step_times(likelihood)
    likelihood.add_argument(
        "-o",
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="for log-probabilities, numbers, plots and report",
    )

    patterns = below.add_parser(
        "patterns",
        help="how alike the patterns of heads, steps and prompts are; the server needs"
        " --enable-inspection",
    )
    patterns.add_argument(
        "--domains", type=_names, default=(), metavar="NAME,...", help="default: all"
    )
    patterns.add_argument(
        "--prompts", type=_count, default=4, metavar="N", help="prompts of each domain"
    )
    patterns.add_argument(
        "--length",
        type=_count,
        default=1024,
        metavar="N",
        help="tokens of prompt and canvas together",
    )
    patterns.add_argument("--gen-length", type=_count, default=64, metavar="N")
    patterns.add_argument("--steps", type=_count, default=32, metavar="N")
    patterns.add_argument(
        "--inspect-steps",
        type=_steps,
        metavar="N,...",
        help="from 0, at most 16; default: nine, from the first to the last",
    )
    patterns.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="as select=0.2"
    )
    patterns.add_argument("--seed", type=int, default=1, metavar="N")
    _add_resamples(patterns)
    patterns.add_argument(
        "-o",
        "--output",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="for numbers, plots and report",
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


def _add_variants(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help="as 's30:select=0.3,skip=0.2'; full is full attention",
    )
    command.add_argument(
        "--variants",
        type=pathlib.Path,
        metavar="FILE.json",
        help="an object of variants, each an object of options",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="an option of all variants that do not have it",
    )
    command.add_argument("--baseline", metavar="NAME", help="default: the first variant")


def _add_resamples(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resamples", type=_count, default=2000, metavar="N", help="of the bootstrap"
    )


def _add_step_times(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--step-times",
        type=pathlib.Path,
        nargs="+",
        default=[],
        metavar="FILE.json",
        help="of sparsed-bench step, each with another --select: what the steps would take there",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(sorted({_count(part) for part in text.split(",")}))


def _steps(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers with commas between")
    return tuple(sorted({int(part) for part in text.split(",")}))
