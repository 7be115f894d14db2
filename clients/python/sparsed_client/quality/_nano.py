"""The families of tasks that nano was trained on (deploy/models/nano), for a model too small for
RULER's. Questions are put in the words it knows; what surrounds them is our own prose.

Not here: `define` and `fill`, which ask for texts that its training saw.
"""

from __future__ import annotations

import collections
import json
import random
import zlib
from collections.abc import Callable, Sequence

from ._prose import prose, sentence
from ._task import Draft, Task
from ._words import (
    ADJECTIVES,
    CITIES,
    COLORS,
    FIRST_NAMES,
    JOBS,
    LAST_NAMES,
    MONTHS,
    NOUNS,
    distinct,
    letters,
)

_BEFORE = (
    "Some special facts are hidden in the following text. Memorize them.",
    "Read the text below and answer the question.",
    "Here is a long text.",
)
_KINDS = ("number", "secret number", "special number", "magic number", "pass code")
_NEEDLES = (
    "The special {k} for {w} is {v}.",
    "Remember that the {k} of {w} is {v}.",
    "The {k} for {w} is {v}.",
)


def _word(rng: random.Random) -> str:
    return rng.choice(NOUNS if rng.random() < 0.7 else ADJECTIVES)


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10**4, 10**7))


def _hidden(
    rng: random.Random, size: int, needles: Sequence[str], question: str, words: Sequence[str] = ()
) -> str:
    """The needles, in their order, at random places of a text that has none of the words, and the
    question behind it."""
    before = rng.choice(_BEFORE)
    between = "\n" if rng.random() < 0.5 else " "
    places = sorted(rng.random() for _ in needles)
    lines = prose(rng, size, words)
    for place, needle in reversed(list(zip(places, needles))):
        lines.insert(int(place * (len(lines) + 1)), needle)
    return f"{before}\n{between.join(lines)}\n{question}"


def _fact(rng: random.Random) -> tuple[str, Callable[[str, str], str]]:
    kind, form = rng.choice(_KINDS), rng.choice(_NEEDLES)
    return kind, lambda word, value: form.format(k=kind, w=word, v=value)


def _find(
    rng: random.Random, size: int, keys: tuple[int, ...], values: int, ask_all: bool
) -> Draft:
    kind, needle = _fact(rng)
    many = rng.choice(keys)
    words = distinct(rng, many, _word)
    numbers = distinct(rng, many * values, _number)
    owners = [word for word in words for _ in range(values)]
    needles = [needle(word, number) for word, number in zip(owners, numbers)]
    if ask_all and values == 1:
        asked = f"What are the {kind}s for {', '.join(words[:-1])} and {words[-1]}?"
        answers = numbers
        rng.shuffle(needles)
    elif values > 1:
        asked = f"What are all the {kind}s for {words[0]}?"
        answers = numbers
    else:
        asked = f"What is the {kind} for {words[0]}?"
        answers = numbers[:1]
        rng.shuffle(needles)
    return Draft(_hidden(rng, size, needles, asked, words), tuple(answers))


def _variables(rng: random.Random, size: int, length: int) -> Draft:
    hops = rng.choice((2, 3) if length >= 1024 else (1, 2))
    names = distinct(rng, hops + 1, lambda r: letters(r, 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    value = _number(rng)
    needles = [f"VAR {names[0]} = {value}"]
    needles += [f"VAR {to} = VAR {from_}" for from_, to in zip(names, names[1:])]
    asked = f"Find all variables that are assigned the value {value}."
    return Draft(_hidden(rng, size, needles, asked), tuple(names))


def _frequent(rng: random.Random, size: int, length: int, coded: bool) -> Draft:
    """Some words that come often among others that come at most half as often."""
    many = 3 if length >= 1024 else 2
    make = (lambda r: letters(r, r.choice((4, 5)))) if coded else _word
    taken: set[str] = set()
    top = distinct(rng, many, make, taken)
    # Below this size two words of the rest could come as often as those asked for.
    total = 8 * many + size
    often = max(4, total // (3 * many))
    own = random.Random(rng.getrandbits(64))
    pool = distinct(own, max(6, min(total // 4, 150)), make, taken)
    rest = [pool[at % len(pool)] for at in range(max(0, total - often * many))]
    # So long a text needs more repetition than a small pool allows.
    most = often // 2
    seen: collections.Counter[str] = collections.Counter()
    kept = []
    for word in rest:
        seen[word] += 1
        if seen[word] <= most:
            kept.append(word)
    words = kept + [word for word in top for _ in range(often)]
    own.shuffle(words)
    if coded:
        task = ("Read the following coded text.", f"What are the {many} most frequent coded words?")
    else:
        task = (
            "Below is a list of words. Some appear more often than others.",
            f"What are the {many} most common words in the list?",
        )
    return Draft(f"{task[0]}\n{' '.join(words)}\n{task[1]}", tuple(top))


def _table(rng: random.Random, size: int, length: int) -> Draft:
    """Lines of key and value; some are asked for, in order."""
    between = rng.choice((": ", " = ", " -> "))
    asked = rng.choice((1, 1, 2, 3))
    at = [rng.random() for _ in range(asked)]
    taken: set[str] = set()

    def key(own: random.Random) -> str:
        return f"{_word(own)}-{own.randrange(10, 100)}" if length > 1024 else _word(own)

    pairs = list(zip(distinct(rng, asked, key, taken), distinct(rng, asked, _number)))
    own = random.Random(rng.getrandbits(64))
    fill = distinct(own, min(size, 250) if length <= 1024 else size, key, taken)
    rows = [(word, _number(own)) for word in fill]
    for place, pair in zip(at, pairs):
        rows.insert(int(place * (len(rows) + 1)), pair)
    names = [word for word, _ in pairs]
    what = names[0] if asked == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    lines = "\n".join(between.join(row) for row in rows)
    return Draft(
        f"Here are some records.\n{lines}\nWhat is the value of {what}?",
        tuple(value for _, value in pairs),
    )


def _person(rng: random.Random) -> dict[str, str | int]:
    return {
        "name": f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}",
        "age": rng.randrange(18, 90),
        "city": rng.choice(CITIES),
        "job": rng.choice(JOBS),
        "color": rng.choice(COLORS),
    }


def _json_lookup(rng: random.Random, size: int, length: int) -> Draft:
    fields = rng.sample(["age", "city", "job", "color"], rng.choice((2, 3)))
    field = rng.choice(fields)
    one, place = _person(rng), rng.random()
    taken = {str(one["name"]).lower()}
    own = random.Random(rng.getrandbits(64))
    names = distinct(own, size, lambda r: str(_person(r)["name"]), taken)
    people = [{**_person(own), "name": name} for name in names]
    people.insert(int(place * (size + 1)), one)
    lines = [
        json.dumps({"id": number, "name": who["name"], **{name: who[name] for name in fields}})
        + ","
        for number, who in enumerate(people, 1)
    ]
    question = f"What is the {field} of {one['name']}?"
    return Draft(
        "Here is a JSON list of people.\n" + "\n".join(lines) + "\n" + question, (str(one[field]),)
    )


def _json_extract(rng: random.Random, size: int, length: int) -> Draft:
    who = _person(rng)
    about = rng.choice(
        (
            "{name} lives in {city}, is {age} years old and works as a {job}.",
            "Meet {name}, a {job} from {city} who is {age}.",
            "At the age of {age}, {name} works as a {job} in {city}.",
        )
    ).format(**who)
    fields = rng.sample(["name", "age", "city", "job"], rng.choice((2, 3, 4)))
    question = f"Extract {', '.join(fields)} as JSON. The person is named in the text."
    answer = json.dumps({name: who[name] for name in fields})
    return Draft(_hidden(rng, size, [about], question), (answer,))


def _quote(rng: random.Random, size: int, length: int) -> Draft:
    words = distinct(rng, rng.choice((1, 2, 4)) if length >= 1024 else 1, _word)
    said = [_short_sentence(rng) for _ in words]
    lines = [f"Quote {word}: {text}" for word, text in zip(words, said)]
    asked = rng.randrange(len(words))
    question = f"Repeat the sentence marked {words[asked]}."
    return Draft(_hidden(rng, size, lines, question, words), (said[asked],))


def _position(rng: random.Random, size: int, length: int) -> Draft:
    _, needle = _fact(rng)
    first, second = distinct(rng, 2, _word)
    needles = [needle(first, _number(rng)), needle(second, _number(rng))]
    one, other = rng.sample([first, second], 2)
    question = f"Which is mentioned first, {one} or {other}?"
    return Draft(_hidden(rng, size, needles, question, (first, second)), (first,))


def _short_sentence(rng: random.Random) -> str:
    while True:
        text = sentence(rng)
        if 25 <= len(text) <= 70:
            return text


# Short questions.


def _operands(rng: random.Random, name: str) -> tuple[int, int]:
    """Of the tenth that the recipe kept out of training."""
    while True:
        if name == "mul":
            a, b = rng.randrange(2, 100), rng.randrange(2, 10)
        else:
            a, b = (rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4, 4))) for _ in range(2))
        if zlib.crc32(repr((name, a, b)).encode()) % 10 == 0 and not (name == "sub" and b > a):
            return a, b


def _arithmetic(rng: random.Random, name: str) -> Draft:
    a, b = _operands(rng, name)
    sign = {"add": "+", "sub": "-", "mul": "*"}[name]
    result = {"add": a + b, "sub": a - b, "mul": a * b}[name]
    return Draft(f"What is {a} {sign} {b}?", (str(result),))


def _sort(rng: random.Random) -> Draft:
    numbers = rng.sample(range(1, 10 ** rng.choice((2, 3))), rng.randrange(3, 8))
    down = rng.random() < 0.3
    order = "descending" if down else "ascending"
    return Draft(
        f"Sort these numbers in {order} order: {', '.join(map(str, numbers))}",
        tuple(map(str, sorted(numbers, reverse=down))),
    )


def _extreme(rng: random.Random) -> Draft:
    numbers = rng.sample(range(1, 1000), rng.randrange(3, 9))
    largest = rng.random() < 0.5
    word = "largest" if largest else "smallest"
    return Draft(
        f"What is the {word} number in {', '.join(map(str, numbers))}?",
        (str(max(numbers) if largest else min(numbers)),),
    )


def _reverse(rng: random.Random) -> Draft:
    words = distinct(rng, rng.randrange(3, 8), _word)
    return Draft(f"Reverse the order of these words: {', '.join(words)}", tuple(reversed(words)))


def _one_of(rng: random.Random) -> Draft:
    words = distinct(rng, rng.randrange(3, 9), _word)
    which, at = rng.choice((("first", 0), ("second", 1), ("third", 2), ("last", -1)))
    return Draft(f"What is the {which} word in this list: {', '.join(words)}?", (words[at],))


def _count(rng: random.Random) -> Draft:
    words = distinct(rng, rng.randrange(2, 15), _word)
    return Draft(f"How many words are in this list: {', '.join(words)}?", (str(len(words)),))


def _case(rng: random.Random, upper: bool) -> Draft:
    text = " ".join(distinct(rng, rng.randrange(1, 4), _word))
    if upper:
        return Draft(f"Write in upper case: {text}", (text.upper(),))
    return Draft(f"Write in lower case: {text.upper()}", (text,))


def _date(rng: random.Random) -> Draft:
    year, month, day = rng.randrange(1900, 2100), rng.randrange(1, 13), rng.randrange(1, 29)
    name = MONTHS[month - 1]
    forms = {
        "YYYY-MM-DD": f"{year:04d}-{month:02d}-{day:02d}",
        "DD/MM/YYYY": f"{day:02d}/{month:02d}/{year}",
        "day month year": f"{day} {name} {year}",
        "month day, year": f"{name} {day}, {year}",
        "DD.MM.YYYY": f"{day:02d}.{month:02d}.{year}",
    }
    given, wanted = rng.sample(sorted(forms), 2)
    return Draft(f"Write the date {forms[given]} as {wanted}.", (forms[wanted],))


def _edit(rng: random.Random) -> Draft:
    while True:
        words = _short_sentence(rng).split(" ")
        once = [
            word for word in words if word.isalpha() and len(word) > 2 and words.count(word) == 1
        ]
        if once:
            break
    old, new = rng.choice(once), _word(rng)
    changed = " ".join(new if word == old else word for word in words)
    return Draft(f'Replace "{old}" by "{new}" in: {" ".join(words)}', (changed,))


def _copy(rng: random.Random) -> Draft:
    text = _short_sentence(rng)
    return Draft(f"Repeat this sentence: {text}", (text,))


def _short(
    name: str, gen_length: int, checker: str, make: Callable[[random.Random], Draft]
) -> Task:
    return Task(name, gen_length, checker, lambda r, _size, _length: make(r), scales=False)


NANO = (
    Task("niah_single", 32, "exact", lambda r, n, _: _find(r, n, (1,), 1, False)),
    Task("niah_multikey", 32, "exact", lambda r, n, _: _find(r, n, (2, 3, 4), 1, False)),
    Task("niah_multivalue", 64, "set", lambda r, n, _: _find(r, n, (1,), 2, False)),
    Task("niah_multiquery", 64, "list", lambda r, n, _: _find(r, n, (2, 3), 1, True)),
    Task("vt", 32, "set", _variables),
    Task("cwe", 32, "set", lambda r, n, length: _frequent(r, n, length, False)),
    Task("fwe", 32, "set", lambda r, n, length: _frequent(r, n, length, True)),
    Task("kv_lookup", 32, "list", _table),
    Task("json_lookup", 32, "exact", _json_lookup),
    Task("json_extract", 64, "exact", _json_extract),
    Task("quote", 64, "exact", _quote),
    Task("position", 32, "exact", _position),
    _short("add", 32, "exact", lambda r: _arithmetic(r, "add")),
    _short("sub", 32, "exact", lambda r: _arithmetic(r, "sub")),
    _short("mul", 32, "exact", lambda r: _arithmetic(r, "mul")),
    _short("sort", 32, "list", _sort),
    _short("maxmin", 32, "exact", _extreme),
    _short("reverse", 64, "list", _reverse),
    _short("first_last", 32, "exact", _one_of),
    _short("count", 32, "exact", _count),
    _short("upper", 32, "exact", lambda r: _case(r, True)),
    _short("lower", 32, "exact", lambda r: _case(r, False)),
    _short("date", 32, "exact", _date),
    _short("edit", 64, "exact", _edit),
    _short("copy", 64, "exact", _copy),
)
