"""The words rehearsal speaks with: small lists, and patterns of sentences that are filled from the message."""

from __future__ import annotations

import re
from collections.abc import Iterator

from antiphon.models.rehearsal.dice import Dice

WHAT_I_AM = (
    "I am rehearsal, the model built into Antiphon: I have no weights, I answer by rule, and the same question gets "
    "the same words."
)

ABILITIES = (
    "call the functions that fit a message",
    "answer in a JSON schema",
    "reason and refuse",
    "work out arithmetic",
    "count, spell, reverse, list, repeat and summarise",
    "recall what was said in this conversation",
    "quote passages that a file search found",
    "play the faults that a client must survive",
)

STOP_WORDS = frozenset(
    """a about above after again all also an and any are as at be been before being between both but by call can could
    did do does each for from get give had has have he her here him his how i if in into is it its just know let like
    many may me might more most much my need no not now of off on one only or other our out over own please same say
    shall she should so some such tell than that the their them then there these they this those through to too two
    under until up us use using very want was way we were what when where which while who whom whose why will with
    would you your""".split()
)

IMPERATIVES = frozenset(
    """add answer apply ask begin book buy cancel change check compare compute convert count create delete describe
    draw estimate explain extract find fetch generate get go help include keep list look make move multiply open
    order plan play please pay post print put read remind remove repeat reply reserve return reverse run save say
    schedule search send set show speak spell start stop summarise summarize take tell translate try turn update use
    write""".split()
)
"""Verbs that begin a request: capital there, and no name."""

COMMON = tuple(
    """able above across act add age ago air allow almost alone along answer area arm around ask autumn away back ball
    bank base bear beat bed begin behind bell bird board boat body book born bottom box branch bread bridge bright bring
    build call calm care carry cause centre chair chance change choose city clear climb close cloud coast cold colour
    come common corner count cover cross crowd dark day deep desk door draw dream dress drive dry early earth east edge
    empty end engine enough evening event ever eye face fact fall far farm field figure fill find fire first fish floor
    flow flower follow food forest form forward free fresh friend front full game garden gate glass gold grass green
    ground grow hand happen hard harbour heart heavy high hill hold home hope horse house idea ink island join journey
    keep key kind lake lamp land large late laugh lead leaf learn leave letter level light line list listen little long
    look low machine map mark market matter measure meet metal middle milk mind minute moment moon morning mountain
    mouth move music name narrow near night noise north note ocean office old open order page paint paper part pass path
    pattern people picture piece place plain plan plant point press print quick quiet rain reach ready reason red rest
    rice ring rise river road rock roof room rope round rule run sail salt sand scale school sea season seed send shape
    sharp shine ship shore short shout side silver simple sing sky sleep slow small smile smooth snow soft song sound
    south space speak spring square stage stand star start station step stone store storm story stream street strong
    summer sun surface swim table tail talk tall teach thin thing think thread tide time tool touch tower town track
    train travel tree true turn valley view village visit voice wait walk wall warm wash watch water wave weather west
    wheel white wide wild wind window winter wish wood word work world write yard year yellow young""".split()
)
"""Words of which each is one token to most tokenizers, with the space before it."""

_NOUNS = tuple(
    """basket bell boat bridge candle castle clock compass curtain door drawer feather fence field garden gate harbour
    hedge kettle key ladder lamp lantern letter map meadow mirror mountain needle notebook path pebble pocket river roof
    rope shelf shore staircase table thread tower valley village wheel window""".split()
)
"""Things to compare with; none needs `an`."""

_SENTENCES = (
    "{Topic} is easiest to follow when it is taken in small steps.",
    "A first look at {topic} shows a {noun}, and a second one shows the {other} behind it.",
    "People who work with {topic} every day tend to keep a {noun} close at hand.",
    "There is a {noun} side to {topic}, and it rewards patience.",
    "Seen from the {noun}, {topic} looks smaller than from the {other}.",
    "What matters in {topic} is the order of things: the {noun} first, the {other} afterwards.",
    "Nobody learns {topic} in a day, but a {noun} a day is enough.",
    "It helps to draw {topic} as a {noun} with a {other} at each end.",
    "The usual mistake with {topic} is to begin with the {noun}.",
    "Compare {topic} with a {noun}: both change when somebody looks away.",
    "Most questions about {topic} turn out to be questions about the {noun}.",
    "When {topic} seems stuck, move the {noun} and look again.",
)

_HEADINGS = ("A first look at {topic}", "The {noun} in it", "In practice", "What to watch", "A closing word")

_THOUGHTS = (
    "The message is about {topic}.",
    "It asks for an answer, so the first thing is to find what it can be built from.",
    "There is the wording of the message itself, and what was said before it.",
    "I have no weights and no clock, so I must not claim to know more than that.",
    "A rule fits here; the answer follows from it.",
    "Let me check that the answer speaks about {topic} and nothing else.",
    "A {noun} would be a poor comparison, so I leave it out.",
    "One more pass over the words: they fit.",
)

_NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_TOPIC = re.compile(
    r"\b(?:about|regarding|concerning|explain|describe|discuss|on the subject of|what (?:is|are)|who (?:is|was))\s+"
    r"(?:to me\s+)?([^.,;:!?\n]{2,60})",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"\s+(?:(?:in|with|using|as)\s+(?:\w+\s+)?(?:paragraphs?|sentences?|words?|markdown|json|detail)|please)\b.*",
    re.IGNORECASE,
)
_OPENING = re.compile(r"^(?:please\s+|(?:can|could|would|will) you\s+|hello,?\s+|hi,?\s+)+", re.IGNORECASE)


def words_in(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def number_named(name: str) -> int | None:
    """The number that a word or digits name: `three` and `3` are 3."""
    lowered = name.lower()
    if lowered in _NAMES:
        return _NAMES.index(lowered) + 1
    return int(name) if name.isdecimal() and len(name) < 7 else None


def topic_of(message: str) -> str:
    """What a message is about, in its own words and at most eight of them."""
    if found := _TOPIC.search(message):
        phrase = _TRAILING.sub("", found[1])
    else:
        phrase = _OPENING.sub("", message.strip())
        phrase = re.split(r"[.!?\n]", phrase, maxsplit=1)[0]
    return " ".join(phrase.split()[:8]).strip(" ,;:\"'`*") or "this"


def _filled(pattern: str, topic: str, dice: Dice) -> str:
    """A pattern with its places filled."""
    noun, other = dice.pick(_NOUNS), dice.pick(_NOUNS)
    return pattern.format(topic=topic, Topic=topic[:1].upper() + topic[1:], noun=noun, other=other)


def sentences(topic: str, number: int, dice: Dice) -> list[str]:
    """So many sentences about a topic, no pattern twice before all were used."""
    order = dice.shuffled(_SENTENCES)
    return [_filled(order[index % len(order)], topic, dice) for index in range(number)]


def headings(topic: str, number: int, dice: Dice) -> list[str]:
    """So many headings; after the first five they are numbered parts."""
    named = [_filled(pattern, topic, dice) for pattern in _HEADINGS]
    return [named[index] if index < len(named) else f"Part {index + 1}" for index in range(number)]


def thoughts(topic: str, number: int, dice: Dice) -> list[str]:
    """So many sentences of reasoning about a topic, always in the same order."""
    return [_filled(_THOUGHTS[index % len(_THOUGHTS)], topic, dice) for index in range(number)]


def babble(dice: Dice) -> Iterator[str]:
    """Words without end, one token each, never the same one twice in a row."""
    last = ""
    while True:
        word = dice.pick(COMMON)
        if word != last:
            yield word
        last = word
