"""Correcting one misspelt word in a sentence; the rest must come back as it was."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.revising import RevisionFamily, canonical
from pipeline.stages.families.text import share
from pipeline.stages.families.worded import Facts, Labelled

# word: misspellings that are no words: a sentence that holds the word once
_TABLE = """
receive: recieve receeve: We receive many letters in winter.
believe: beleive belive: I believe every word he says.
friend: freind frend: My best friend lives next door.
because: becuase becase: She smiled because she was happy.
tomorrow: tommorow tomorow: We leave for the coast tomorrow.
beautiful: beautifull beutiful: The valley is beautiful in spring.
necessary: neccessary necesary: A warm coat is necessary today.
separate: seperate seperat: Keep the clean plates in a separate box.
definitely: definately definitly: This is definitely the right road.
weird: wierd weerd: There was a weird noise in the attic.
until: untill intil: The shop is open until six.
which: wich whitch: He asked me which bus to take.
February: Febuary Febuery: Her birthday is in February.
Wednesday: Wensday Wedensday: The meeting is on Wednesday.
library: libary librery: The library opens at nine.
government: goverment govenment: The government built a new bridge.
environment: enviroment enviorment: Clean rivers are good for the environment.
calendar: calender calandar: He wrote the date in his calendar.
restaurant: restaraunt resturant: We ate fish at a small restaurant.
surprise: suprise surprice: The party was a surprise for her.
different: diffrent diferent: The twins like different songs.
interesting: intresting interessting: The museum has an interesting map.
chocolate: chocolat choclate: He gave her a box of chocolate.
vegetable: vegtable vegetible: Eat one vegetable with every meal.
language: langauge languege: Spanish is a useful language.
knowledge: knowlege knowladge: Her knowledge of birds is great.
neighbour: nieghbour neighbuor: Our neighbour has two dogs.
foreign: foriegn foregin: He collects foreign coins.
height: heigth hight: They measured the height of the wall.
science: sience scince: She teaches science at our school.
business: buisness bussiness: He runs a small business in town.
address: adress addres: Write your address on the card.
accommodation: accomodation acommodation: We found cheap accommodation near the sea.
committee: commitee comittee: The committee will meet in May.
embarrassed: embarassed embarrased: He was embarrassed by the mistake.
occasion: ocassion occassion: She wore the ring for the occasion.
possible: posible possibel: It is possible to walk there.
successful: succesful sucessful: The first test was successful.
tongue: tounge tonge: The dog showed its tongue.
argument: arguement argumant: They had an argument about money.
truly: truely trulie: I am truly sorry for the delay.
writing: writting writeing: She is writing a long letter.
beginning: begining beggining: The beginning of the film is slow.
running: runing runnning: The boys are running to the lake.
swimming: swiming swimmimg: We go swimming every Friday.
stopped: stoped stoppd: The train stopped at every village.
happened: happend hapenned: It happened on a cold morning.
finally: finaly finnaly: The rain finally stopped.
really: realy realley: The soup was really good.
usually: usualy ususally: He usually walks to work.
probably: probaly probly: They will probably win the game.
especially: especialy expecially: She likes fruit, especially pears.
immediately: imediately immediatly: Please call the doctor immediately.
sentence: sentance sentense: Read the last sentence again.
grammar: grammer gramar: This book explains the grammar.
dictionary: dictionery dictonary: Look it up in the dictionary.
secretary: secratary secretery: The secretary answered the phone.
kitchen: kichen kitchin: There is a cat in the kitchen.
bicycle: bycicle bicicle: My bicycle has a flat tyre.
answer: anser answr: Nobody knew the answer.
question: qestion questoin: May I ask you a question?
people: poeple peaple: Many people came to the fair.
house: huose houze: They painted the house white.
garden: gardin gadren: We sat in the garden after lunch.
school: shcool scool: The school is near the park.
teacher: teecher techer: Our teacher plays the violin.
water: watter wather: Drink a glass of water.
window: windwo windoe: Please open the window.
mountain: mountin moutain: The mountain is covered with snow.
island: iland ilsand: The ferry goes to the island.
autumn: autum autmn: The leaves fall in autumn.
winter: wintar wintre: The lake freezes in winter.
summer: sumer summar: We go camping in summer.
morning: mornning moring: He runs every morning.
evening: evning evenning: They watch films in the evening.
yesterday: yesturday yesteday: It rained all day yesterday.
always: allways alwyas: She always carries an umbrella.
sometimes: somtimes sometims: He sometimes forgets his keys.
enough: enouf enogh: We have enough bread for two days.
laugh: lauhg luagh: His jokes make me laugh.
daughter: dauther daugther: Their daughter is a nurse.
brother: brohter bruther: My brother is older than me.
animal: anamal animle: The elephant is a large animal.
elephant: elefant elephent: The elephant drank from the river.
giraffe: girafe girraffe: The giraffe ate the top leaves.
squirrel: squirel squirrl: A squirrel climbed the oak.
butterfly: buterfly butterfli: A butterfly sat on the rose.
breakfast: brekfast breakfest: We had eggs for breakfast.
sandwich: sandwhich sanwich: She packed a cheese sandwich.
potato: potatoe pottato: Peel one more potato, please.
tomato: tomatoe tommato: He cut the tomato in half.
banana: bananna bannana: The monkey stole a banana.
orange: ornage oranje: I eat an orange every day.
medicine: medecine medicin: Take the medicine after dinner.
hospital: hospitle hosptial: The hospital is on the hill.
dangerous: dangerus dangrous: It is dangerous to swim here.
famous: famus famouse: A famous singer lives there.
careful: carefull carfull: Be careful on the icy steps.
wonderful: wonderfull wonderfol: We had a wonderful holiday.
picture: pictre pichure: She drew a picture of the harbour.
minute: minuit minnute: Wait a minute, please.
clothes: clotes clothse: Hang the wet clothes outside.
scissors: sissors scissers: Cut the paper with scissors.
machine: mashine machin: The machine makes a loud noise.
music: musick muzic: They danced to the music.
guitar: gitar guitarr: He plays the guitar at night.
piano: pianno paino: The piano is out of tune.
colour: collour coulour: Blue is my favourite colour.
trouble: truoble troubel: The old engine gives us trouble.
travel: travell trevel: They travel by train.
journey: jurney journy: The journey took nine hours.
airport: airprot areport: The airport is far from the city.
station: staition sation: The station has four platforms.
ticket: tiket tickit: He lost his ticket on the way.
weather: wheather weathar: The weather is fine today.
thunder: thundar thundr: The dog is afraid of thunder.
village: vilage villege: The village has one street.
"""
ROWS = tuple(
    (word.strip(), tuple(wrongs.split()), sentence.strip())
    for word, wrongs, sentence in (line.split(":") for line in _TABLE.strip().splitlines())
)
_SENTENCES = {word: sentence for word, _, sentence in ROWS}


class FixSpelling(RevisionFamily):
    """ "Correct the spelling: We recieve many letters.": the whole sentence with that one word mended."""

    name = "fix_spelling"
    max_new_tokens = 40
    fault = "The response is not the sentence with its one misspelt word corrected"
    slots: ClassVar[Mapping[str, str]] = {"text": r"[\"'“‘]?(?P<text>[A-Z][^\n\"“”:]*?[.?]?)[\"'”’]?"}
    train_wordings = (
        "Correct the spelling: {text}",
        "Correct the spelling mistake in this sentence: {text}",
        "Fix the typo: {text}",
        "One word is misspelt. Write the sentence correctly: {text}",
        "Rewrite this with the right spelling: {text}",
        "Improve the spelling of this text: {text}",
        "Find the misspelt word and write the sentence again: {text}",
        "Proofread this sentence: {text}",
        "There is a typing error here, correct it: {text}",
        "{text} Write that sentence again without the spelling error.",
    )
    eval_wordings = (
        "Please correct the spelling of this sentence: {text}",
        "Fix the spelling error: {text}",
        "Write this sentence without the typo: {text}",
        "A word here is spelt wrongly. Give the corrected sentence: {text}",
        "Edit this text for spelling: {text}",
        "Correct the one wrong word: {text}",
        "Check the spelling and write the sentence properly: {text}",
        "Repair the misspelling in the following: {text}",
        "My sentence has a typo, please mend it: {text}",
        "{text} Give the same sentence, correctly spelt.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        word = rng.choice(share(namespace, _SENTENCES))
        wrongs = next(wrongs for one, wrongs, _ in ROWS if one == word)
        return {"text": _SENTENCES[word].replace(word, rng.choice(wrongs))}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        found = _by_text().get(_key(facts["text"]))
        if found is None:
            return None
        word, wrong = found
        sentence = _SENTENCES[word]
        return sentence, {"word": word, "text": sentence.replace(word, wrong), "accepted": [sentence]}

    def corrupt(self, item: Item, rng: random.Random) -> str:
        word, text = item.truth["word"], item.truth["text"]
        said = item.answer.split()
        place = rng.randrange(len(said))
        dropped = " ".join(said[:place] + said[place + 1 :])
        wrongs = next(wrongs for one, wrongs, _ in ROWS if one == word)
        return rng.choice((text, dropped, word, item.answer.replace(word, wrongs[0]), item.answer.replace(word, "")))

    labelled = (
        Labelled(
            "Correct the spelling: We recieve many letters in winter.",
            right=("We receive many letters in winter.", "we receive many letters in winter"),
            wrong=(
                "We recieve many letters in winter.",
                "We receve many letters in winter.",
                "We get many letters in winter.",
                "We receive many letters.",
                "I do not know.",
            ),
            odd=(
                '"We receive many letters in winter."',
                "Corrected: We receive many letters in winter.",
                "The correct sentence is: We receive many letters in winter.",
                "Here is the corrected sentence:\nWe receive many letters in winter.",
                "We recieve many letters in winter. -> We receive many letters in winter.",
                "We receive many letters in winter. I corrected the word receive.",
                "Sure, we receive many letters in winter.",
            ),
            trap=(
                "",
                "receive",
                "Correct the spelling: We recieve many letters in winter.",
                "We receive many letters in winter. We recieve many letters in winter.",
                "We receive few letters in winter.",
                "The word receive is misspelt.",
                "We receive many letters in winter or we recieve many letters in winter.",
                "we receive letters many in winter",
                "We receive many letters in summer.",
                "We receive many leters in winter.",
            ),
        ),
        Labelled(
            "Fix the spelling error: May I ask you a qestion?",
            right=("May I ask you a question?", "May I ask you a question"),
            wrong=("May I ask you a qestion?", "Yes, you may."),
        ),
    )


@lru_cache(maxsize=1)
def _by_text() -> dict[str, tuple[str, str]]:
    """Sentence with the error, in canonical form -> (word, misspelling)."""
    return {_key(sentence.replace(word, wrong)): (word, wrong) for word, wrongs, sentence in ROWS for wrong in wrongs}


def _key(text: str) -> str:
    """A sentence as it is looked up: its closing mark may be missing."""
    return canonical(text).rstrip("? ")
