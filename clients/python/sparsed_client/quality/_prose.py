"""Sentences to hide things in: a plain story without digits, hyphens or capitals inside, so that no
number, key or variable of a task can occur in it by chance."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

from ._words import ADJECTIVES, NOUNS

# Lines that say nothing, for the tasks whose haystack is noise.
NOISE = "The lamp is lit. The door is shut. The road is long. We walk on. Home is not far away."

_PEOPLE = (
    "the miller|a young clerk|the old captain|her sister|the two brothers|my neighbour|the painter|"
    "a tired traveller|the schoolmaster|the gardener|our guide|the widow|a boy from the village|"
    "the librarian|his uncle|the fishermen|the cook|a stranger|the watchman|the tailor"
).split("|")
_DEEDS = (
    "waited for the boat|counted the coins again|wrote a long letter|repaired the roof|sang softly|"
    "walked home in the rain|asked for more time|lit a small fire|read the old papers|kept silent|"
    "planted beans along the wall|sold two horses|looked out over the water|closed the shop early|"
    "told the story once more|carried the boxes upstairs|baked bread for everyone|slept until noon|"
    "painted the fence|forgot the name of the street|drew a map in the sand|opened every window"
).split("|")
_TIMES = (
    "In the morning|Late in the evening|After the long winter|Before the market opened|"
    "Every spring|On the last day of the week|When the bells had stopped|Some years later|"
    "That same night|At the end of the summer|While the others slept|Shortly before noon|"
    "Once again|In those days"
).split("|")
_REASONS = (
    "because nobody else would|although it was cold|as they had always done|without saying why|"
    "for the sake of peace|in spite of the noise|while the dog watched|to pass the time|"
    "as if nothing had happened|with great care|since the road was closed|before it grew dark"
).split("|")
_THINGS = (
    "the price of wool|the weather|the new bridge|a lost letter|the harvest|the music|the war|"
    "a journey to the coast|the school|the taste of the water|the size of the fish|an old debt"
).split("|")


def sentence(rng: random.Random) -> str:
    """One sentence, ending with a full stop."""
    pick = rng.choice
    person, deed = pick(_PEOPLE), pick(_DEEDS)
    form = rng.randrange(8)
    if form == 0:
        return f"{pick(_TIMES)} {person} {deed}."
    if form == 1:
        return f"{person} {deed} {pick(_REASONS)}.".capitalize()
    if form == 2:
        return f"{pick(_TIMES)} {person} {deed} {pick(_REASONS)}."
    if form == 3:
        return f"The {pick(NOUNS)} was {pick(ADJECTIVES)}, and so was the {pick(NOUNS)} beside it."
    if form == 4:
        return f"Nobody spoke of {pick(_THINGS)} while {person} {deed}."
    if form == 5:
        return f"The {pick(NOUNS)} near the {pick(NOUNS)} was {pick(ADJECTIVES)} and rather small."
    if form == 6:
        heard = f"{person} had heard much about {pick(_THINGS)}, but little of it was true."
        return heard.capitalize()
    return f"Behind the {pick(NOUNS)} {person} {deed}, and {pick(_PEOPLE)} {pick(_DEEDS)}."


def prose(rng: random.Random, sentences: int, without: Collection[str] = ()) -> list[str]:
    """That many sentences that have none of the words `without`. More of them begin with the same
    ones."""
    own = random.Random(rng.getrandbits(64))
    found: list[str] = []
    while len(found) < sentences:
        text = sentence(own)
        if not without or not set(re.findall("[a-z]+", text)) & set(without):
            found.append(text)
    return found
