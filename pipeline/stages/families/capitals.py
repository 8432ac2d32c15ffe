"""Capitals of countries. Only countries whose seat is beyond dispute and does not share its name."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import judge_value, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_TABLE = """
Afghanistan:Kabul; Albania:Tirana; Algeria:Algiers; Angola:Luanda; Argentina:Buenos Aires; Armenia:Yerevan;
Australia:Canberra; Austria:Vienna; Azerbaijan:Baku; Bahrain:Manama; Bangladesh:Dhaka; Belarus:Minsk;
Belgium:Brussels; Botswana:Gaborone; Brazil:Brasilia; Bulgaria:Sofia; Cambodia:Phnom Penh; Cameroon:Yaounde;
Canada:Ottawa; Chad:N'Djamena; Chile:Santiago; China:Beijing|Peking; Colombia:Bogota; Croatia:Zagreb;
Cuba:Havana; Cyprus:Nicosia; Denmark:Copenhagen; Ecuador:Quito; Egypt:Cairo; Eritrea:Asmara; Estonia:Tallinn;
Ethiopia:Addis Ababa; Fiji:Suva; Finland:Helsinki; France:Paris; Gabon:Libreville; Georgia:Tbilisi;
Germany:Berlin; Ghana:Accra; Greece:Athens; Guinea:Conakry; Guyana:Georgetown; Haiti:Port-au-Prince;
Honduras:Tegucigalpa; Hungary:Budapest; Iceland:Reykjavik; India:New Delhi|Delhi; Indonesia:Jakarta;
Iran:Tehran|Teheran; Iraq:Baghdad; Ireland:Dublin; Italy:Rome|Roma; Jamaica:Kingston; Japan:Tokyo; Jordan:Amman;
Kenya:Nairobi; Laos:Vientiane; Latvia:Riga; Lebanon:Beirut; Liberia:Monrovia; Libya:Tripoli; Lithuania:Vilnius;
Madagascar:Antananarivo; Malawi:Lilongwe; Malaysia:Kuala Lumpur; Mali:Bamako; Malta:Valletta;
Mongolia:Ulaanbaatar|Ulan Bator; Morocco:Rabat; Mozambique:Maputo; Namibia:Windhoek; Nepal:Kathmandu;
Netherlands:Amsterdam; New Zealand:Wellington; Nicaragua:Managua; Niger:Niamey; Nigeria:Abuja;
North Korea:Pyongyang; Norway:Oslo; Oman:Muscat; Pakistan:Islamabad; Paraguay:Asuncion; Peru:Lima;
Poland:Warsaw; Portugal:Lisbon|Lisboa; Qatar:Doha; Romania:Bucharest; Russia:Moscow; Rwanda:Kigali;
Saudi Arabia:Riyadh; Senegal:Dakar; Serbia:Belgrade; Sierra Leone:Freetown; Slovakia:Bratislava;
Slovenia:Ljubljana; Somalia:Mogadishu; South Korea:Seoul; Spain:Madrid; Sudan:Khartoum; Suriname:Paramaribo;
Sweden:Stockholm; Switzerland:Bern|Berne; Syria:Damascus; Thailand:Bangkok; Togo:Lome; Tunisia:Tunis;
Turkey:Ankara; Uganda:Kampala; Ukraine:Kyiv|Kiev; Uruguay:Montevideo; Uzbekistan:Tashkent; Venezuela:Caracas;
Vietnam:Hanoi; Yemen:Sanaa|Sana'a; Zambia:Lusaka; Zimbabwe:Harare
"""
_CAPITALS: dict[str, tuple[str, ...]] = {
    country.strip(): tuple(names.strip().split("|"))
    for country, names in (row.split(":") for row in _TABLE.split(";") if row.strip())
}
_COUNTRY = {country.casefold(): country for country in _CAPITALS}
_LARGEST_ELSEWHERE = {
    "Australia": "Sydney", "Brazil": "Rio de Janeiro", "Canada": "Toronto", "China": "Shanghai", "Germany": "Munich",
    "India": "Mumbai", "Italy": "Milan", "Morocco": "Casablanca", "New Zealand": "Auckland", "Nigeria": "Lagos",
    "Pakistan": "Karachi", "Russia": "Saint Petersburg", "Spain": "Barcelona", "Switzerland": "Zurich",
    "Turkey": "Istanbul", "Vietnam": "Ho Chi Minh City", "Ecuador": "Guayaquil",
}  # fmt: skip


class Capitals(WordedFamily):
    """ "What is the capital of France?": the city, alone or in a sentence, and no other capital beside it."""

    name = "capitals"
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"country": r"(?:the\s+)?(?P<country>[A-Z][\w-]+(?:\s+[A-Z][\w-]+)?)"}
    train_wordings = (
        "What is the capital of {country}?",
        "Name the capital city of {country}.",
        "Answer this: which city is the capital of {country}?",
        "Tell me the capital of {country}.",
        "Give the capital of {country}.",
        "Write the name of the capital of {country}.",
        "Complete: the capital of {country} is",
        "Which city is the capital of {country}?",
        "In one word or two, what is the capital of {country}?",
        "State the capital city of {country}.",
    )
    eval_wordings = (
        "What is {country}'s capital city?",
        "Name the city that is the capital of {country}.",
        "What city serves as the capital of {country}?",
        "Write down the capital of {country}.",
        "Please name the capital of {country}.",
        "Say which city is the capital of {country}.",
        "Complete this sentence: {country}'s capital is",
        "{country} has which city as its capital?",
        "Identify the capital of {country}.",
        "Answer with a city name: what is the capital of {country}?",
    )
    more_wordings = (
        "What's the capital of {country}?",
        "Capital of {country}",
        "What is the capital city of {country}?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"country": rng.choice(_countries(namespace))}

    def fill(self, facts: Facts) -> Facts:
        return {"country": "the Netherlands" if facts["country"] == "Netherlands" else facts["country"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        country = _COUNTRY.get(facts["country"].casefold())
        if country is None:
            return None
        return _CAPITALS[country][0], {"country": country, "accepted": list(_CAPITALS[country])}

    def judge(self, item: Item, text: str) -> Score:
        accepted: list[str] = item.truth["accepted"]
        return judge_value(
            _plain(text), accepted, subject=(item.truth["country"],), rival=lambda t: _rival(t, accepted)
        )

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        country = item.truth["country"]
        if country in _LARGEST_ELSEWHERE and rng.random() < 0.5:
            return _LARGEST_ELSEWHERE[country]
        return rng.choice([names[0] for other, names in _CAPITALS.items() if other != country])

    labelled = (
        Labelled(
            "What is the capital of France?",
            right=("Paris", "Paris.", "The capital of France is Paris.", "Paris is the capital of France."),
            wrong=("Lyon", "Madrid", "The capital of France is Lyon.", "France", "It is a country in Europe."),
            odd=('"Paris"', "paris", "Paris, France", "What is the capital of France? Paris.", "It's Paris.", "PARIS!"),
            trap=(
                "Paris or Madrid",
                "",
                "?",
                "The capital of France is not Paris.",
                "Paris. What is the capital of Spain?",
                "Parish",
                "Paris, Berlin, Rome",
                "The capital of Spain is Madrid, of France Paris.",
                "France France France",
            ),
        ),
        Labelled(
            "Write down the capital of Colombia.",
            right=("Bogotá", "Bogota"),
            wrong=("Medellín",),
            odd=("The capital of Colombia is Bogotá, a city high in the Andes.",),
            trap=("Bogota and Caracas",),
        ),
    )


def capital_names() -> tuple[str, ...]:
    """Every name of every capital that the family knows."""
    return tuple(name for names in _CAPITALS.values() for name in names)


def _plain(text: str) -> str:
    """`text` without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _rival(text: str, accepted: list[str]) -> str | None:
    for names in _CAPITALS.values():
        for name in names:
            foreign = not any(name in mine for mine in accepted)
            if foreign and _named(name).search(text):
                return name
    return None


@lru_cache(maxsize=512)  # more than there are capitals: the library's own cache holds fewer patterns than a step uses
def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(name)}\b", re.I)


@lru_cache(maxsize=8)
def _countries(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, _CAPITALS)
