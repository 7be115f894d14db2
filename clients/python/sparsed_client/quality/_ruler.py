"""Thirteen tasks of the kind of RULER (NVIDIA/RULER): the recipe is theirs, every text ours.

Eight that find needles, one that follows variables, two that count words, two that answer from
documents. Lengths of answers follow the evaluation of SparseD (arXiv 2509.24014), table 3.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ._prose import NOISE, prose
from ._task import Draft, Task
from ._words import NOUNS, adjective_noun, distinct, letters, made_up

_DEPTHS = 40


def _number(rng: random.Random) -> str:
    return str(rng.randrange(10**6, 10**7))


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


_MAKE = {"word": adjective_noun, "number": _number, "uuid": _uuid}


def _spread(rng: random.Random, lines: list[str], needles: Sequence[str]) -> list[str]:
    """The needles between the lines, each at one of 40 even depths, in random order."""
    own = random.Random(rng.getrandbits(64))
    depths = sorted(own.sample(range(_DEPTHS), len(needles)))
    order = own.sample(list(needles), len(needles))
    for depth, needle in reversed(list(zip(depths, order))):
        lines.insert(len(lines) * depth // (_DEPTHS - 1), needle)
    return lines


def _needle_draft(context: str, kind: str, keys: Sequence[str], answers: Sequence[str]) -> Draft:
    many = len(answers) > 1
    what = f"{kind}s" if many else kind
    who = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    are = "are" if many else "is"
    every = "all the" if many else "the"
    return Draft(
        f"Somewhere in the text below secret {kind}s are given. Remember them: afterwards you will"
        f" be asked for them.\n{context}\n"
        f"What {are} {every} secret {what} of {who} given in the text?",
        tuple(answers),
        f"The secret {what} of {who} given in the text {are}",
    )


def _needle(kind: str, key: str, value: str) -> str:
    return f"One of the secret {kind}s of {key} is: {value}."


def _find(
    rng: random.Random,
    size: int,
    *,
    noise: bool = False,
    kind: str = "number",
    keys: int = 1,
    values: int = 1,
    asked: int = 1,
) -> Draft:
    """Needles in noise or prose: keys, each with its values; the first so many are asked for."""
    names = distinct(rng, keys, adjective_noun)
    found = distinct(rng, keys * values, _MAKE[kind])
    of = [found[at * values : (at + 1) * values] for at in range(keys)]
    needles = [_needle(kind, key, value) for key, mine in zip(names, of) for value in mine]
    lines = [NOISE] * size if noise else prose(rng, size)
    context = ("\n" if noise else " ").join(_spread(rng, lines, needles))
    answers = [value for mine in of[:asked] for value in mine]
    return _needle_draft(context, kind, names[:asked], answers)


def _among_needles(rng: random.Random, size: int, key_kind: str, kind: str) -> Draft:
    """A haystack of nothing but needles."""
    key, value = _MAKE[key_kind](rng), _MAKE[kind](rng)
    at = rng.random()
    own = random.Random(rng.getrandbits(64))
    keys = distinct(own, size, _MAKE[key_kind], {key})
    values = distinct(own, size, _MAKE[kind], {value})
    lines = [_needle(kind, *pair) for pair in zip(keys, values)]
    lines.insert(int(at * (size + 1)), _needle(kind, key, value))
    return _needle_draft("\n".join(lines), kind, [key], [value])


def _chain(rng: random.Random, names: Sequence[str], value: str, lines: list[str]) -> list[str]:
    """A value that goes from name to name, in order, at random lines."""
    needles = [f"VAR {names[0]} = {value}"]
    needles += [f"VAR {to} = VAR {from_}" for from_, to in zip(names, names[1:])]
    places = sorted(rng.random() for _ in needles)
    for place, needle in reversed(list(zip(places, needles))):
        lines.insert(int(place * (len(lines) + 1)), needle)
    return lines


def _variables(rng: random.Random, size: int, length: int) -> Draft:
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = distinct(rng, 5, lambda r: letters(r, 5, capitals))
    shown = distinct(rng, 3, lambda r: letters(r, 3, capitals))
    value, shown_value = distinct(rng, 2, lambda r: str(r.randrange(10**4, 10**5)))

    def part(context: list[str], asked: str) -> tuple[str, str]:
        return (
            "Follow the variables that are assigned in the text below.\n"
            + "\n".join(context)
            + f"\nWhich variables have the value {asked} in the text?",
            f"The variables that have the value {asked} are:",
        )

    example, example_prefix = part(_chain(rng, shown, shown_value, [NOISE] * 2), shown_value)
    prompt, prefix = part(_chain(rng, names, value, [NOISE] * size), value)
    solved = f"{example}\n{example_prefix} {', '.join(shown)}\n\n"
    return Draft(solved + prompt, tuple(names), prefix)


def _numbered(
    rng: random.Random, common: Sequence[str], rare: Sequence[str], times: tuple[int, int]
) -> str:
    words = [word for word in common for _ in range(times[0])]
    words += [word for word in rare for _ in range(times[1])]
    rng.shuffle(words)
    return " ".join(f"{number}. {word}" for number, word in enumerate(words, 1))


def _compound(rng: random.Random) -> str:
    return rng.choice(NOUNS) + rng.choice(NOUNS)


def _common_words(rng: random.Random, size: int, length: int) -> Draft:
    """10 words 30 times among others 3 times, after a solved example of 40 words; below 4,096
    tokens 6 times and once, after one of 20 words."""
    taken: set[str] = set()
    common = distinct(rng, 10, _compound, taken)
    shown = distinct(rng, 10, _compound, taken)
    long = length >= 4096
    shown_rest = distinct(rng, 30 if long else 10, _compound, taken)
    own = random.Random(rng.getrandbits(64))
    rest = distinct(own, size, _compound, taken)
    times, shown_times = ((30, 3), (10, 3)) if long else ((6, 1), (3, 1))

    def part(words: str) -> str:
        return (
            "Below is a numbered list of words. Some of them come back often. Remember the ten that"
            f" come most often.\n{words}\nWhich ten words are the most common in the list?"
        )

    prefix = "The ten most common words in the list are:"
    example = part(_numbered(rng, shown, shown_rest, shown_times))
    answered = " ".join(f"{number}. {word}" for number, word in enumerate(shown, 1))
    prompt = part(_numbered(own, common, rest, times))
    return Draft(f"{example}\n{prefix} {answered}\n\n{prompt}", tuple(common), prefix)


def _frequent_words(rng: random.Random, size: int, length: int) -> Draft:
    """Words by Zipf's law with exponent 2. The first is dots, ranks 2 to 4 are asked for."""
    words = distinct(rng, max(8, length // 50), lambda r: letters(r, 6))
    words[0] = "..."
    # From so many on the fifth comes less often than the fourth.
    total = 60 + size
    zeta = 1.6449340668482264
    text = [
        word for rank, word in enumerate(words, 1) for _ in range(int(total / (rank * rank * zeta)))
    ]
    random.Random(rng.getrandbits(64)).shuffle(text)
    return Draft(
        "Below is a text of code words. Count how often each of them comes. The dots '...' are no"
        f" word.\n{' '.join(text)}\nWhich three code words come most often in the text?",
        tuple(words[1:4]),
        "The three code words that come most often are:",
    )


def _documents(rng: random.Random, documents: list[str], question: str, answer: str) -> Draft:
    random.Random(rng.getrandbits(64)).shuffle(documents)
    text = "\n\n".join(f"Document {at}:\n{document}" for at, document in enumerate(documents, 1))
    task = "Answer the question from the documents below. Give only the answer, nothing else.\n\n"
    return Draft(f"{task}{text}\n\nQuestion: {question}", (answer,), "Answer:")


def _company(rng: random.Random, company: str, city: str) -> str:
    return rng.choice(
        (
            f"{company} makes {rng.choice(NOUNS)}s and {rng.choice(NOUNS)}s. The company is based"
            f" in {city}, where it has a large {rng.choice(NOUNS)}.",
            f"In {city} stands the {rng.choice(NOUNS)} of {company}. The company is based there and"
            f" sells every {rng.choice(NOUNS)} itself.",
        )
    )


def _person(rng: random.Random, person: str, company: str) -> str:
    return rng.choice(
        (
            f"{person} works for {company}. Before that came years at a {rng.choice(NOUNS)}, and a"
            f" prize for the best {rng.choice(NOUNS)}.",
            f"The employer of {person} is {company}. At home there is a {rng.choice(NOUNS)} and a"
            f" garden with a {rng.choice(NOUNS)}.",
        )
    )


def _place(rng: random.Random) -> str:
    return made_up(rng, 3, rng.choice(("", "n", "l")))


def _maker(rng: random.Random) -> str:
    return made_up(rng, 2) + " " + rng.choice(("Works", "Brothers", "Trading", "Mills", "Yards"))


def _full_name(rng: random.Random) -> str:
    return f"{made_up(rng, 2)} {made_up(rng, 3, 's')}"


def _question(rng: random.Random, size: int, hops: int) -> Draft:
    """Where a company is; with two hops, where the one is that somebody works for."""
    taken: set[str] = set()
    city, company, person = (
        distinct(rng, 1, make, taken)[0] for make in (_place, _maker, _full_name)
    )
    gold = [_company(rng, company, city)] + ([_person(rng, person, company)] if hops == 2 else [])
    own = random.Random(rng.getrandbits(64))
    others = []
    for _ in range(size):
        # What would give the answer away, or make it ambiguous, is drawn again.
        place, maker, name = (
            distinct(own, 1, make, taken)[0] for make in (_place, _maker, _full_name)
        )
        about_person = hops == 2 and own.random() < 0.5
        others.append(_person(own, name, maker) if about_person else _company(own, maker, place))
    who = company if hops == 1 else f"the company that {person} works for"
    return _documents(rng, gold + others, f"In which city is {who} based?", city)


RULER = (
    Task("single_1", 32, "all", lambda r, n, _: _find(r, n, noise=True)),
    Task("single_2", 32, "all", lambda r, n, _: _find(r, n)),
    Task("single_3", 64, "all", lambda r, n, _: _find(r, n, kind="uuid")),
    Task("multikey_1", 32, "all", lambda r, n, _: _find(r, n, keys=4)),
    Task("multikey_2", 32, "all", lambda r, n, _: _among_needles(r, n, "word", "number")),
    Task("multikey_3", 64, "all", lambda r, n, _: _among_needles(r, n, "uuid", "uuid")),
    Task("multivalue", 64, "all", lambda r, n, _: _find(r, n, values=4)),
    Task("multiquery", 64, "all", lambda r, n, _: _find(r, n, keys=4, asked=4)),
    Task("vt", 32, "all", _variables),
    Task("cwe", 128, "all", _common_words),
    Task("fwe", 64, "all", _frequent_words),
    Task("qa_1", 32, "any", lambda r, n, _: _question(r, n, 1)),
    Task("qa_2", 32, "any", lambda r, n, _: _question(r, n, 2)),
)
