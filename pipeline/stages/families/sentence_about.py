"""One sentence about a topic: exactly one real sentence in which the topic occurs."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.inflection import PastTense, Plurals
from pipeline.stages.families.text import bare, sentences, share, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_TABLE = """
dogs: Dogs are loyal animals that like to play.
cats: Cats sleep for many hours every day.
horses: Horses can run fast over long distances.
the sea: The sea is deep and full of life.
the moon: The moon shines brightly at night.
rain: Rain helps the plants in the garden grow.
snow: Snow covers the hills in winter.
summer: Summer is the warmest season of the year.
winter: Winter brings short days and cold nights.
autumn: The leaves turn yellow and red in autumn.
spring: Flowers begin to bloom in spring.
bread: Fresh bread smells wonderful in the morning.
coffee: Many people drink coffee after they wake up.
tea: My grandmother drinks tea every afternoon.
music: Music makes people feel happy.
books: Books take us to faraway places.
trains: Trains carry thousands of people to work.
bicycles: Bicycles are a cheap and healthy way to travel.
cars: Cars need fuel or electricity to move.
trees: Trees give us shade and clean air.
flowers: Flowers attract bees with their bright colours.
birds: Birds build nests in the trees.
fish: Fish breathe under water with their gills.
bees: Bees collect nectar and make honey.
the sun: The sun gives us light and warmth.
mountains: Mountains are often covered with snow.
rivers: Rivers flow from the hills to the sea.
schools: Schools teach children to read and write.
teachers: Teachers help students learn new things.
doctors: Doctors take care of sick people.
friends: Good friends help each other in hard times.
football: Football is played by two teams of eleven players.
tennis: Tennis is played with rackets and a small ball.
swimming: Swimming is good exercise for the whole body.
chess: Chess is a game that needs patience and a plan.
cheese: Cheese is made from milk.
apples: Apples grow on trees and taste sweet.
chocolate: Chocolate is a sweet food that many people love.
rice: Rice is eaten every day by billions of people.
soup: Hot soup warms you on a cold day.
water: Water is necessary for all living things.
fire: Fire gives heat but can be dangerous.
ice: Ice melts when it gets warm.
wind: The wind blows the leaves across the street.
clouds: Dark clouds often bring rain.
stars: Stars twinkle in the night sky.
gardens: Gardens need water and sunlight to grow well.
kitchens: Kitchens are rooms where people cook their meals.
clocks: Clocks show us what time it is.
computers: Computers can solve many problems very quickly.
telephones: Telephones let us talk to people far away.
letters: Letters were the best way to send news long ago.
newspapers: Newspapers report what happens in the world.
cities: Cities are busy places with many streets and shops.
farms: Farms produce the food that we eat.
farmers: Farmers work hard to grow food.
cows: Cows eat grass and give milk.
sheep: Sheep give us wool for warm clothes.
elephants: Elephants are the largest animals on land.
lions: Lions live together in groups called prides.
penguins: Penguins are birds that swim but cannot fly.
whales: Whales are huge animals that live in the ocean.
butterflies: Butterflies begin their lives as caterpillars.
spiders: Spiders spin webs to catch insects.
rabbits: Rabbits have long ears and eat plants.
shoes: Shoes protect our feet when we walk.
hats: Hats keep the sun off our faces.
umbrellas: Umbrellas keep us dry when it rains.
bridges: Bridges let people cross rivers easily.
ships: Ships carry goods across the oceans.
airplanes: Airplanes fly high above the clouds.
birthdays: Birthdays are celebrated with cake and presents.
holidays: Holidays give families time to be together.
museums: Museums show old and beautiful things.
libraries: Libraries lend books to everyone.
hospitals: Hospitals are open day and night for sick people.
painting: Painting is a quiet way to spend an afternoon.
dancing: Dancing is fun and keeps you fit.
sleep: Sleep gives the body time to rest.
breakfast: Breakfast is the first meal of the day.
money: Money is used to buy things.
sand: Sand gets hot in the summer sun.
islands: Islands are surrounded by water on all sides.
forests: Forests are home to many wild animals.
deserts: Deserts get very little rain.
volcanoes: Volcanoes can throw hot ash into the air.
honey: Honey tastes sweet and comes from bees.
salt: Salt makes food taste better.
bicycle helmets: Bicycle helmets protect the head in an accident.
grandparents: Grandparents often tell stories about the past.
babies: Babies sleep a lot and cry when they are hungry.
windows: Windows let light into the house.
candles: Candles give a soft light in the dark.
guitars: Guitars usually have six strings.
pianos: Pianos have black and white keys.
"""
_TOPICS: dict[str, str] = {
    topic.strip(): sentence.strip() for topic, sentence in (line.split(":", 1) for line in _TABLE.strip().splitlines())
}
_AUXILIARY = word_list(
    """
is are was were am be been has have had do does did can could will would shall should may might must isn't aren't
can't don't doesn't won't become becomes became remain seem seems mean means require requires provide provides
produce allow allows contain contain include consist belong exist protect cover flow bloom attract collect report
surround taste smell let twinkle purr hunt chase guard roam graze gallop hop crawl hatch nest chirp quack roar howl
growl buzz hum glow sparkle glitter flicker burn melt boil pour drip splash sail float drift travel race spin roll
bounce slide glide soar march gather attend celebrate enjoy prefer admire trust respect support improve increase
reduce prevent cause affect heal treat cure examine operate serve order heat cool store preserve produce create
invent design repair connect link join divide separate reach rise fall stretch extend rest relax exercise train
compete score defend attack teach inspire entertain educate inform explain describe express represent symbolize show
display reveal tell ring beat blow bend twist turn absorb breathe digest feed survive thrive adapt evolve migrate
reproduce mate lay raise care nurture comfort calm please excite amaze fascinate delight bore scare frighten bite
sting scratch lick swallow chew consume drain fill empty rely depend exchange trade sell earn cost weigh measure
count last begin end pass appear disappear change stay lie stand differ vary range contribute lead follow guide
direct control manage handle hold carry lift drop pull push throw catch hit kick strike tend act behave react
respond interact communicate share offer lend borrow return visit explore discover search seek hide escape flee
deserve matter belong symbolise power light warm decorate brighten nourish hydrate boost
"""
)
_NOT_VERBS = frozenset(
    word_list(
        """
this its his as us thus always perhaps yes was's various less across besides
"""
    )
)
_META = re.compile(r"\b(?:sentences?|instructions?|responses?|paragraph|essay|write about)\b", re.I)


class SentenceAbout(WordedFamily):
    """ "Write one sentence about dogs." """

    name = "sentence_about"
    max_new_tokens = 40
    slots: ClassVar[Mapping[str, str]] = {"topic": r"[\"'“‘]?(?P<topic>[a-z][a-z -]*?)[\"'”’]?"}
    train_wordings = (
        "Write one sentence about {topic}.",
        "Write a sentence about {topic}.",
        "Make a sentence about {topic}.",
        "Generate a sentence about {topic}.",
        "Say something about {topic} in one sentence.",
        "Tell me one thing about {topic} in a sentence.",
        "Give me a sentence about {topic}.",
        "In one sentence, describe {topic}.",
        "Write a short sentence on the topic of {topic}.",
        "Compose a single sentence about {topic}.",
    )
    eval_wordings = (
        "Write exactly one sentence about {topic}.",
        "Please write a sentence on {topic}.",
        "Produce one sentence about {topic}.",
        "Describe {topic} in one sentence.",
        "Use one sentence to say something about {topic}.",
        "Form a sentence about {topic}.",
        "State one fact about {topic} in a single sentence.",
        "Give one short sentence about {topic}.",
        "Write a single sentence that tells us about {topic}.",
        "Create a sentence whose topic is {topic}.",
    )
    more_wordings = ("Write one short sentence about {topic}.", "Write a short sentence about {topic}.")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"topic": rng.choice(_topics(namespace))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        topic = re.sub(r"\s+", " ", facts["topic"].casefold())
        if len(topic.split()) > 3 or _META.search(topic):
            return None
        answer = _TOPICS.get(topic, "")
        return answer, {"topic": topic}

    def judge(self, item: Item, text: str) -> Score:
        found = sentences(text)
        if not found or not bare(text):
            return Score(False, "empty")
        if len(found) > 1:
            return Score(False, f"{len(found)} sentences, wanted one")
        said = words(found[0])
        if found[0].rstrip("\"'”’ )").endswith("?"):
            return Score(False, "a question")
        if not _mentions(said, item.truth["topic"]):
            return Score(False, f"topic missing: {item.truth['topic']}")
        if _META.search(found[0]):
            return Score(False, "talks about the task")
        if _repeats(said):
            return Score(False, "repeats itself")
        if len(said) < 2 or not _has_verb(said, item.truth["topic"]):
            return Score(False, "not a sentence")
        return Score(True, "one sentence about the topic")

    def harmless_suffix(self, text: str) -> str | None:
        if text.rstrip().endswith((".", "!", '"')):
            return None
        return ", and everybody who has ever thought about it for a moment will agree with that."

    def corrupt(self, item: Item, rng: random.Random) -> str:
        topic: str = item.truth["topic"]
        kind = rng.choice(("other", "bare", "two"))
        if kind == "bare":
            return topic.capitalize()
        other = rng.choice(list(_TOPICS.values()))
        while _mentions(words(other), topic):
            other = rng.choice(list(_TOPICS.values()))
        return other if kind == "other" else f"{item.answer or topic.capitalize() + ' exist.'} {other}"

    labelled = (
        Labelled(
            "Write one sentence about dogs.",
            right=(
                "Dogs are loyal animals.",
                "A dog is a good friend.",
                "I like dogs because they are kind",
                "My dog barks at night.",
            ),
            wrong=(
                "Cats are loyal animals.",
                "Dogs",
                "dogs, dogs, dogs",
                "Dogs are loyal. They like to play.",
                "What is a dog?",
            ),
            odd=(
                '"Dogs love to play in the park."',
                "Dogs bark!",
                "Dr. Smith has a dog.",
                "Dogs, which were once wolves, now live with people.",
                "The dog ran home.",
            ),
            trap=(
                "",
                "Write one sentence about dogs.",
                "This is a sentence about dogs.",
                "A big brown dog",
                "Dogs are loyal animals\nCats are too",
                "dog is a dog is a dog is a dog is a dog",
                "Hotdogs are tasty.",
                "I will write a sentence about dogs.",
                "Dogs. Dogs. Dogs.",
            ),
        ),
        Labelled(
            "Describe the moon in one sentence.",
            right=("The moon shines at night.",),
            wrong=("The sun is hot.",),
            trap=("The moon",),
        ),
    )


def _mentions(said: list[str], topic: str) -> bool:
    """Does every content word of the topic occur, in singular or plural?"""
    wanted = [word for word in words(topic) if word not in {"the", "a", "an"}]
    return all(any(_stem(word) == _stem(other) for other in said) for word in wanted)


def _stem(word: str) -> str:
    word = re.sub(r"['’]s$", "", word)
    for ending, single in (("ies", "y"), ("oes", "o"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + single
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _repeats(said: list[str]) -> bool:
    """Does some run of three words occur three times, or one word follow itself twice?"""
    runs = [tuple(said[i : i + 3]) for i in range(len(said) - 2)]
    return any(runs.count(run) > 2 or len(set(run)) == 1 for run in set(runs))


def _has_verb(said: list[str], topic: str) -> bool:
    """Is some word a verb form? From lists, else by its ending; neither the topic nor plurals of listed nouns."""
    own = {_stem(word) for word in words(topic)}
    verbs = _verbs()
    rest = [word for word in said if _stem(word) not in own]
    if any(word in verbs for word in rest):
        return True
    nouns = {form for forms in Plurals.forms().values() for form in forms}
    return any(word.endswith(("s", "ed")) and len(word) > 3 and word not in _NOT_VERBS | nouns for word in rest[1:])


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    past = {form for forms in PastTense.forms().values() for form in forms}
    base = {*PastTense.forms(), *_AUXILIARY}
    return frozenset({*past, *base, *(f"{word}s" for word in base), *(f"{word}es" for word in base)} - {"like"})


@lru_cache(maxsize=8)
def _topics(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _TOPICS)
