"""The tasks of `sparsed-client quality`: another program reads each prompt and finds the answer."""

import collections
import json
import random
import re

import pytest

from sparsed_client.quality import _check, _prose, _task, _words
from sparsed_client.quality._suites import SUITES
from sparsed_client.quality._task import build

LENGTH = 1024


def encode(draft):
    """A tokenizer of sorts: pieces of four letters."""
    return tuple(map(len, re.findall(r"\w{1,4}|[^\w\s]", draft.prompt + draft.prefix)))


def made(suite, task, index=0, seed=1, length=LENGTH):
    return build(task, suite, length if task.scales else _task.SHORT_LENGTH, index, seed,
                 task.gen_length, encode)


def most_common(words, count):
    """Those that come strictly more often than any other."""
    ranked = collections.Counter(words).most_common()
    assert len(ranked) == count or ranked[count - 1][1] > ranked[count][1]
    return [word for word, _ in ranked[:count]]


def variables(prompt, value):
    """The names that get the value, in the order of the text."""
    values = {}
    for name, source in re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", prompt):
        values[name] = values.get(source, source)
    return [name for name, held in values.items() if held == value]


def read_ruler(name, prompt):
    """What the question at the end asks for."""
    question = prompt.splitlines()[-1]
    if name == "vt":
        own = prompt.split("\n\n")[-1]
        return variables(own, re.search(r"the value (\d+)", question)[1])
    if name == "cwe":
        numbered = prompt.split("\n\n")[-1].splitlines()[1]
        return most_common(re.findall(r"\d+\. (\w+)", numbered), 10)
    if name == "fwe":
        return most_common([word for word in prompt.splitlines()[1].split() if word != "..."], 3)
    if name.startswith("qa"):
        employer = re.search(r"that (.+) works for", question)
        company = re.search(r"city is (.+) based", question)[1]
        if employer:
            found = re.search(rf"{employer[1]} works for (\w+ \w+)\.|"
                              rf"employer of {employer[1]} is (\w+ \w+)\.", prompt)
            company = found[1] or found[2]
        found = re.search(rf"{company} makes .* is based in (\w+),|"
                          rf"In (\w+) stands the \w+ of {company}\.", prompt)
        return [found[1] or found[2]]
    keys = re.search(r"secret \w+ of (.*) given", question)[1].replace(" and ", ", ").split(", ")
    return [value for key in keys
            for value in re.findall(rf"One of the secret \w+ of {key} is: ([0-9a-f-]+)\.", prompt)]


@pytest.mark.parametrize("task", SUITES["ruler"].tasks, ids=lambda task: task.name)
def test_a_reader_finds_rulers_answers(task):
    one = made("ruler", task)
    found = read_ruler(task.name, one.draft.prompt)
    assert sorted(found) == sorted(one.draft.answers)
    count = {"multivalue": 4, "multiquery": 4, "vt": 5, "cwe": 10, "fwe": 3}.get(task.name, 1)
    assert len(found) == count
    assert one.draft.prefix
    if task.name not in ("vt", "cwe", "fwe"):
        # Nothing but the needle, or the document, gives the answer away.
        assert all(one.draft.prompt.count(answer) == 1 for answer in found)
    if task.name.startswith("multikey"):
        assert len(re.findall("One of the secret", one.draft.prompt)) > 3


def read_nano(name, prompt):
    question = prompt.splitlines()[-1]
    listed = question.rpartition(": ")[2]
    if name.startswith("niah"):
        kind, words = re.search(r"the (.*?)s? for (.*)\?", question).groups()
        return [value for word in words.replace(" and ", ", ").split(", ")
                for value in re.findall(rf"{kind} (?:for|of) {word} is (\d+)\.", prompt)]
    if name == "vt":
        return variables(prompt, re.search(r"\d+", question)[0])
    if name in ("cwe", "fwe"):
        return most_common(prompt.splitlines()[1].split(), int(re.search(r"\d", question)[0]))
    if name == "kv_lookup":
        rows = dict(re.split(": | = | -> ", line) for line in prompt.splitlines()[1:-1])
        asked = re.search("value of (.*)\\?", question)[1].replace(" and ", ", ").split(", ")
        return [rows[key] for key in asked]
    if name == "json_lookup":
        people = {who["name"]: who for line in prompt.splitlines()[1:-1]
                  for who in [json.loads(line.rstrip(","))]}
        field, who = re.match(r"What is the (\w+) of (.*)\?", question).groups()
        return [str(people[who][field])]
    if name == "json_extract":
        where = (r"(?P<name>\w+ \w+) lives in (?P<city>\w+), is (?P<age>\d+) .* a (?P<job>\w+)\.|"
                 r"Meet (?P<name1>\w+ \w+), a (?P<job1>\w+) from (?P<city1>\w+) .* (?P<age1>\d+)\.|"
                 r"age of (?P<age2>\d+), (?P<name2>\w+ \w+) works as a (?P<job2>\w+) in"
                 r" (?P<city2>\w+)\.")
        facts = {key.rstrip("12"): value
                 for key, value in re.search(where, prompt).groupdict().items() if value}
        facts["age"] = int(facts["age"])
        asked = re.search("Extract (.*) as JSON", question)[1].split(", ")
        return [json.dumps({key: facts[key] for key in asked})]
    if name == "quote":
        return [re.search(rf"Quote {question[:-1].split()[-1]}: ([^.]*\.)", prompt)[1]]
    if name == "position":
        pair = re.search(r"first, (\w+) or (\w+)", question).groups()
        text = prompt[:-len(question)]
        return [min(pair, key=lambda word: re.search(rf"\b{word}\b", text).start())]
    if name in ("add", "sub", "mul"):
        a, sign, b = re.search(r"(\d+) (.) (\d+)", question).groups()
        return [str({"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign])]
    if name == "sort":
        return sorted(listed.split(", "), key=int, reverse="descending" in question)
    if name == "maxmin":
        return [str((max if "largest" in question else min)(map(int, re.findall(r"\d+", question))))]
    if name == "reverse":
        return listed.split(", ")[::-1]
    if name == "first_last":
        return [listed[:-1].split(", ")[("first second third".split() + [""]).index(
            question.split()[3].replace("last", ""))]]
    if name == "count":
        return [str(listed.count(",") + 1)]
    if name in ("upper", "lower"):
        return [getattr(listed, name)()]
    if name == "copy":
        return [listed]
    if name == "edit":
        old, new, text = re.match(r'Replace "(.*)" by "(.*)" in: (.*)', question).groups()
        assert len(re.findall(rf"\b{old}\b", text)) == 1
        return [re.sub(rf"\b{old}\b", new, text)]
    return None


@pytest.mark.parametrize("task", SUITES["nano"].tasks, ids=lambda task: task.name)
def test_a_reader_finds_nanos_answers(task):
    for index in range(4):
        one = made("nano", task, index)
        if task.name != "date":
            assert list(one.draft.answers) == read_nano(task.name, one.draft.prompt) or (
                task.checker == "set"
                and sorted(one.draft.answers) == sorted(read_nano(task.name, one.draft.prompt)))
        assert _check.credit(task.checker, one.draft.answers, ", ".join(one.draft.answers)) == (
            True, 1.0)


def test_dates_are_the_same_day():
    draft = next(task for task in SUITES["nano"].tasks if task.name == "date").make(
        random.Random(3), 1, 128)
    year = re.search(r"(?:19|20)\d\d", draft.answers[0])[0]
    assert draft.prompt.startswith("Write the date ") and year in draft.prompt


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_lengths_and_seeds(suite):
    for task in suite.tasks:
        one = made(suite.name, task)
        assert one == made(suite.name, task)
        assert one.id == f"{suite.name}-{task.name}-{one.length}-0000"
        for other in (made(suite.name, task, index=1), made(suite.name, task, seed=2)):
            assert other.draft.prompt != one.draft.prompt
        assert one.prompt_ids == encode(one.draft)
        free = one.length - len(one.prompt_ids) - one.gen_length
        # Short questions are as long as they are; of the others a unit has no room.
        assert 0 <= free < (80 if task.scales else one.length)


def test_what_is_longer_has_the_same_question():
    for task in (task for suite in SUITES.values() for task in suite.tasks if task.scales):
        def draft(size):
            return task.make(random.Random(5), size, LENGTH)
        small, large = draft(30), draft(90)
        assert small.answers == large.answers and small.prefix == large.prefix
        assert small.prompt.splitlines()[-1] == large.prompt.splitlines()[-1]
        assert len(small.prompt) < len(large.prompt)


def test_too_short():
    cwe = next(task for task in SUITES["ruler"].tasks if task.name == "cwe")
    with pytest.raises(ValueError, match="cwe: 256 tokens are too few"):
        made("ruler", cwe, length=256)
    copy = next(task for task in SUITES["nano"].tasks if task.name == "copy")
    with pytest.raises(ValueError, match="copy: 70 tokens are too few"):
        build(copy, "nano", 70, 0, 1, 64, encode)


def test_a_text_that_grows_no_more_ends_the_search():
    fixed = _task.Task("fixed", 8, "exact", lambda rng, size, length: _task.Draft("word " * 9, ("a",)))
    assert len(build(fixed, "nano", 100, 0, 1, 8, encode).prompt_ids) == 9


def test_prose_cannot_hold_an_answer():
    text = " ".join(_prose.prose(random.Random(1), 500))
    assert not re.search(r"[0-9\-_\"]|VAR|  ", text)
    assert text.count(".") == 500
    assert "chain" in text and "roof" in text
    without = " ".join(_prose.prose(random.Random(1), 500, ["chain", "roof"]))
    assert "chain" not in without and "roof" not in without


def test_word_lists():
    for words in (_words.ADJECTIVES, _words.NOUNS, _words.FIRST_NAMES, _words.LAST_NAMES):
        assert len(set(words)) == len(words) > 50
    assert not set(_words.ADJECTIVES) & set(_words.NOUNS)
    with pytest.raises(ValueError, match="not 3 different words"):
        _words.distinct(random.Random(1), 3, lambda rng: rng.choice("aAb"))


def test_credit():
    credit = _check.credit
    assert credit("all", ["12", "34"], "it is 12, and 34.") == (True, 1.0)
    assert credit("all", ["ab", "cd", "ef", "gh"], "AB and CD") == (False, 0.5)
    assert credit("any", ["ab", "cd"], "x CD x") == (True, 1.0)
    assert credit("any", ["ab", "cd"], "abacus"[1:]) == (False, 0.0)
    assert credit("exact", ["a  b"], " a\nb ") == (True, 1.0)
    assert credit("exact", ["a b"], "a b.") == (False, 0.0)
    assert credit("list", ["1", "2", "3"], "1,  2, 3") == (True, 1.0)
    assert credit("list", ["1", "2", "3"], "1, 3, 2") == (False, pytest.approx(1 / 3))
    assert credit("list", ["1"], "1, 2") == (False, 0.5)
    assert credit("set", ["1", "2", "3"], "3, 1, 2") == (True, 1.0)
    assert credit("set", ["1", "2"], "2, 2") == (False, 0.5)
    assert credit("set", ["1"], "1,") == (False, 0.5)
