"""The words that tasks are made of. Order and content decide what a seed gives."""

from __future__ import annotations

import random
from collections.abc import Callable

ADJECTIVES = tuple(
    """
    able amber ancient ample arid autumn bare bitter blank bold brave brief bright brisk broad
    broken calm careful cheap chief clean clear clever close cloudy coarse cold common cool cosy
    crisp curved damp dark dear deep dense dim distant double dry dull dusty eager early easy
    empty equal even exact faint fair famous fancy fast fertile fierce final fine firm flat formal
    fresh frozen full gentle giant glad golden grand great hard harsh hasty heavy hidden hollow
    honest huge humble idle inner jolly keen kind large late lazy lean level light little lively
    local lonely loose loud loyal lucky mellow merry mild modern modest narrow neat noble noisy
    odd old open outer pale patient plain polite poor proud pure quick quiet rapid rare ready
    remote rich ripe rough round royal rural rusty safe scarce secret sharp short shy silent
    simple slim slow small smooth sober soft solid sour spare steady steep stern stiff strange
    strict strong subtle sudden sweet swift tall tame tender thick thin tidy tiny tough upper
    urban vast vivid warm weak wide wild wise worthy young
    """.split()
)

NOUNS = tuple(
    """
    acorn anchor apron arrow badge bakery balcony barrel basket beacon bench blanket bottle bridge
    bucket button cabin camel candle canyon carpet castle cellar chain chapel chest chimney cliff
    clock cloud coat collar column compass copper cottage cradle crane curtain desert dial ditch
    dolphin drawer drum eagle engine falcon farm feather fence ferry fiddle field flame flute
    forest fork fountain garden gate glacier glove grain hammer harbor harvest hedge helmet hill
    hinge horn hotel island jacket jar jewel journal kettle kitchen ladder lagoon lantern lemon
    lever library lizard locket lodge magnet mantle marble market meadow medal mill mirror
    monument motor mountain museum needle nest oasis olive orchard organ otter oven paddle palace
    panel parcel pebble pencil pepper piano pillow pine planet pocket pond prairie pulley quarry
    quilt rabbit railway ribbon river rocket rope saddle sail salmon satchel scarf shelter shield
    signal silo skillet sleeve spade spider spindle spoon stable station statue summit sunset
    tablet tavern temple tent theater thicket throne timber tower trail trumpet tunnel turbine
    turtle valley vase village violin volcano wagon walnut warehouse whistle willow window winter
    workshop
    """.split()
)

FIRST_NAMES = tuple(
    """
    Ada Agnes Alma Arthur Basil Beatrix Bertha Cecil Cora Cyril Della Dora Edgar Edith Elias Elsa
    Ernest Esther Eva Flora Gilbert Greta Hazel Helen Herman Hilda Howard Ida Ira Isaac Ivy Jasper
    Joan Judith Lena Lewis Lydia Mabel Magnus Martha Miles Minnie Nell Norman Olive Oscar Pearl
    Philip Ralph Rhoda Roger Ruby Selma Silas Stella Theo Ursula Vera Vernon Viola Walter Wilma
    """.split()
)

LAST_NAMES = tuple(
    """
    Abbott Archer Barlow Beck Bishop Blake Brook Burton Carver Chandler Clay Cooper Craft Dale
    Dawson Drake Ellis Farmer Fenn Field Finch Flint Foster Garner Glover Grove Hale Harper Hawk
    Heath Holt Hope Hurst Keller Kemp Lake Leigh Lowe Mercer Moss Nash Noble Oakes Page Parker
    Penn Piper Potter Quill Reeve Ridge Rowe Sadler Shaw Slater Snow Spence Stark Thorne Tyler
    Vale Vance Walsh Ward Webb West Wick Wilde Winter Wren Yates
    """.split()
)

CITIES = tuple(
    """
    Oslo Paris Rome Berlin Madrid London Dublin Vienna Lisbon Athens Prague Warsaw Boston Denver
    Austin Dallas Tokyo Seoul Delhi Cairo Lima Quito Geneva Milan Turin Leeds York Perth Sydney
    """.split()
)

JOBS = "baker doctor farmer teacher pilot nurse lawyer driver singer writer painter tailor".split()
COLORS = "red blue green black white yellow brown grey pink purple orange silver".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)

_SYLLABLES = tuple(
    first + vowel
    for first in "b d f g k l m n p r s t v z br dr gr tr".split()
    for vowel in "aeiou"
)


def made_up(rng: random.Random, syllables: int = 3, end: str = "") -> str:
    """A name that no language has, capitalised: "Dravome"."""
    return ("".join(rng.choice(_SYLLABLES) for _ in range(syllables)) + end).capitalize()


def letters(rng: random.Random, count: int, alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    """That many letters at random."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def distinct(
    rng: random.Random,
    count: int,
    make: Callable[[random.Random], str],
    taken: set[str] | None = None,
) -> list[str]:
    """That many texts of make(rng), different from one another and from `taken`, which grows by
    them. Lower and upper case are the same."""
    known = set() if taken is None else taken
    found: list[str] = []
    for _ in range(1000 * count + 1000):
        if len(found) == count:
            return found
        text = make(rng)
        if text.lower() not in known:
            known.add(text.lower())
            found.append(text)
    raise ValueError(f"there are not {count} different words for so long a prompt")


def adjective_noun(rng: random.Random) -> str:
    """A key: "amber-kettle"."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"
