"""Asks the server: every example under every variant, many at a time."""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from .._client import Client
from .._errors import QueueFull, Unavailable
from .._types import Result
from ._check import credit
from ._records import Writer
from ._suites import Suite
from ._task import Draft, Encode, Example, Task, build, example_id
from ._variants import Variant, request_options

_PATIENCE_SECONDS = 120.0

_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to ask. limit: examples of each task and length. timed: examples of each length that
    run once more, each alone, for their times."""

    suite: Suite
    tasks: tuple[str, ...]
    lengths: tuple[int, ...]
    variants: tuple[Variant, ...]
    limit: int
    concurrency: int
    timed: int
    seed: int
    gen_length: int | None
    prefix: bool


OnDone = Callable[[int, int, "dict[str, Any] | None"], None]
"""Called with answers done, answers to come in all, and the record; none for what was left out."""


def encoder(client: Client, chat: bool, prefix: bool) -> Encode:
    """Through the chat template where there is one; the answer's first words behind it."""

    @functools.lru_cache(maxsize=4096)
    def words(text: str) -> tuple[int, ...]:
        return patiently(lambda: client.tokenize(text)).token_ids

    def encode(draft: Draft) -> tuple[int, ...]:
        begin = draft.prefix if prefix else ""
        if not chat:
            text = f"{draft.prompt} {begin}" if begin else draft.prompt + "\n"
            return patiently(lambda: client.tokenize(text)).token_ids
        ids = patiently(lambda: client.tokenize(messages=draft.prompt)).token_ids
        return ids + words(begin) if begin else ids

    return encode


def patiently(call: Callable[[], _Answer]) -> _Answer:
    """Makes a call again while the server says that it is busy. Errors: SparsedError."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return call()
        except (QueueFull, Unavailable) as error:
            delay = error.retry_after
            if delay is None or time.monotonic() + delay > until:
                raise
            time.sleep(delay)


class _Lazy:
    """An example that is built by the first thread that wants it."""

    def __init__(self, name: str, cell: tuple[str, int], make: Callable[[], Example]) -> None:
        self.id = name
        self.cell = cell
        self._make = make
        self._lock = threading.Lock()
        self._example: Example | None = None

    def get(self) -> Example:
        with self._lock:
            if self._example is None:
                self._example = self._make()
            return self._example


_Job = tuple[_Lazy, Variant, bool]
"""An example, under a variant, and whether alone."""


class Run:
    """One run of a plan. Threads: used by one; its calls run on their own."""

    def __init__(
        self, client: Client, plan: Plan, encode: Encode, writer: Writer, on_done: OnDone
    ) -> None:
        self._client = client
        self._plan = plan
        self._encode = encode
        self._writer = writer
        self._on_done = on_done
        self._stop = threading.Event()
        self.left_out: dict[tuple[str, int], str] = {}
        """Tasks that a length is too short for, with the reason."""

    def run(self) -> None:
        """Asks what the writer's file does not have yet. An interrupt cancels what runs; the file
        keeps what was answered. Errors: SparsedError, OSError."""
        jobs = self._jobs()
        timed = self._timed_jobs()
        total, done = len(jobs) + len(timed), 0
        for part, threads in ((jobs, self._plan.concurrency), (timed, 1)):
            done = self._work(part, threads, done, total)

    def _jobs(self) -> collections.deque[_Job]:
        have = self._writer.results.records
        jobs: collections.deque[_Job] = collections.deque()
        for index in range(self._plan.limit):
            for task, length in self._plan.suite.cells(self._plan.tasks, self._plan.lengths):
                lazy = self._lazy(task, length, index)
                jobs += [
                    (lazy, variant, False)
                    for variant in self._plan.variants
                    if (lazy.id, variant.name, False) not in have
                ]
        return jobs

    def _timed_jobs(self) -> collections.deque[_Job]:
        """Task by task, then the next example of each; the variants in another order each time, so
        that what changes with time changes for all."""
        have = self._writer.results.records
        jobs: collections.deque[_Job] = collections.deque()
        for length in self._plan.lengths:
            tasks = [task for task, _ in self._plan.suite.cells(self._plan.tasks, [length])]
            order = random.Random(self._plan.seed)
            for number in range(self._plan.timed if tasks else 0):
                lazy = self._lazy(tasks[number % len(tasks)], length, number // len(tasks))
                variants = order.sample(self._plan.variants, len(self._plan.variants))
                jobs += [
                    (lazy, variant, True)
                    for variant in variants
                    if (lazy.id, variant.name, True) not in have
                ]
        return jobs

    def _lazy(self, task: Task, length: int, index: int) -> _Lazy:
        plan = self._plan
        gen_length = plan.gen_length or task.gen_length

        def make() -> Example:
            return build(task, plan.suite.name, length, index, plan.seed, gen_length, self._encode)

        name = example_id(plan.suite.name, task, length, index)
        return _Lazy(name, (task.name, length), make)

    def _work(self, jobs: collections.deque[_Job], threads: int, done: int, total: int) -> int:
        running: set[Future[dict[str, Any] | None]] = set()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while True:
                    # Few in hand, so that an example is forgotten soon after its last answer.
                    while jobs and len(running) < 2 * threads:
                        running.add(pool.submit(self._answer, *jobs.popleft()))
                    if not running:
                        return done
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    # What failed comes last, so that no answer is lost with it.
                    for future in sorted(finished, key=lambda one: one.exception() is not None):
                        record = future.result()
                        if record is not None:
                            self._writer.write(record)
                        done += 1
                        self._on_done(done, total, record)
            except BaseException:
                self._stop.set()
                for future in running:
                    future.cancel()
                self._client.close()
                raise

    def _answer(self, lazy: _Lazy, variant: Variant, alone: bool) -> dict[str, Any] | None:
        if self._stop.is_set():
            return None
        try:
            example = lazy.get()
        except ValueError as error:
            self.left_out[lazy.cell] = str(error)
            return None
        options = {**self._plan.suite.options, **variant.options}
        if "steps" in variant.options:
            del options["steps_per_token"]
        options["block_length"] = options["block_length"] or example.gen_length
        options.setdefault("temperature", 0.0)
        options.setdefault("seed", zlib.crc32(example.id.encode()))
        asked = request_options(options, example.gen_length)
        result: Result = patiently(
            lambda: self._client.generate(
                token_ids=example.prompt_ids,
                request_id=f"{example.id}/{variant.name}"[:128],
                token_confidences=True,
                **asked,
            )
        )
        return record_of(example, variant, alone, asked["steps"], result)


def record_of(
    example: Example, variant: Variant, alone: bool, steps: int, result: Result
) -> dict[str, Any]:
    """What is kept of an answer."""
    strict, partial = credit(example.checker, example.draft.answers, result.text)
    packed = b"".join(token.to_bytes(4, "little") for token in example.prompt_ids)
    return {
        "id": example.id,
        "task": example.task,
        "length": example.length,
        "variant": variant.name,
        "alone": alone,
        "prompt_tokens": len(example.prompt_ids),
        "prompt_crc32": zlib.crc32(packed),
        "planned_steps": steps,
        "answers": list(example.draft.answers),
        "text": result.text,
        "strict": strict,
        "partial": partial,
        "token_ids": list(result.token_ids),
        "commit_steps": [token.commit_step for token in result.tokens],
        "confidences": [token.confidence for token in result.tokens],
        "usage": dataclasses.asdict(result.usage),
        "seconds": dataclasses.asdict(result.timings),
        "sparse": dataclasses.asdict(result.sparse),
    }
