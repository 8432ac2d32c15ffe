"""Stage 3: what is made is judged by looking it up, whatever words it is made with."""

from __future__ import annotations

import random

import pytest

from pipeline.data.leakage import check
from pipeline.evals.items import build, build_frozen, dump, frozen_path, load
from pipeline.stages.base import Namespace, Stage
from pipeline.stages.families.asking import FAMILIES
from pipeline.stages.families.text import portion
from pipeline.stages.registry import by_name, stage

STAGE = stage(3)
NAMES = [family.name for family in STAGE.families]
SMALL = ("example_of", "wrong_answer", "make_question", "opposite_pair")

# (instruction, right answers, wrong answers)
CASES = [
    (
        "Give an example of a fruit other than apple.",
        [
            "Apart from apple, an example of a fruit is banana.",
            "Instead of apple, banana.",
            "I would name the banana.",
            "A fruit other than apple is orange.",
            "An orange.",
            "Orange is a fruit.",
            "Bananas are a fruit other than apples.",
            "1. banana",
            "- Banana",
            "mango!",
            "pineapple",
            "It's a banana.",
            "One example of a fruit other than apple would be a banana.",
            "A ripe banana",
            "Pears",
            "Strawberries",
        ],
        [
            "apple pie",
            "A fruit is a sweet food that grows on trees.",
            "The apple is red. Banana.",
            "banana\n\nor pear",
            "Banana. Pear. Cherry.",
            "Banana is one. Pear is another.",
            "An example of a fruit other than apple is a pear or a plum.",
            "A fruit.",
            "Green apple",
            "any fruit",
            "1. Banana\n2. Pear",
        ],
    ),
    (
        "Name an animal that begins with the letter D.",
        [
            "The dog",
            "D: dog",
            "D - Dog",
            "Dog (canine)",
            "A dog begins with the letter D.",
            "Dog starts with D.",
            "Dolphin begins with D.",
            "A dog is an animal that chases cats.",
        ],
        ["The animal is a cat."],
    ),
    (
        "Write a colour whose name has four letters.",
        [
            "Blue has four letters.",
            "The colour blue has four letters.",
            "Blue is four letters long.",
            "The word is 'grey'.",
        ],
        ["Green has four letters."],
    ),
    (
        "Give a wrong answer to this question: What is the capital of France?",
        [
            "The capital of France is New York City.",
            "Nice",
            "The capital of France is Marseille, a nice city by the sea.",
            "Tokyo is the capital of France.",
            "The answer is London.",
            "One wrong answer is Berlin.",
            "The wrong answer to this question is: Berlin",
            "Berlin is a wrong answer.",
            "A wrong answer would be Brussels.",
            "I think it is London.",
            "London is a city.",
            "london",
            "Lyon is a city in France.",
        ],
        [
            "The capital of France is Germany.",
            "London is the capital of England.",
            "The capital of France is Paris, France.",
            "paris",
        ],
    ),
    (
        "Write a question that asks for the capital of France.",
        [
            "What's the capital of France?",
            "Could you please tell me what the capital of France is?",
            "Can you name the capital of France?",
            "What is the capital of France? ",
            "Q: What is the capital of France?",
            "What city is France's capital?",
        ],
        [
            "What is the capital city of the country of France?",
            "Which French city is the capital?",
            "what is the capital of france",
        ],
    ),
    (
        "Write a pair of opposites that has the word hot in it.",
        [
            "One pair of opposites is hot and cold.",
            "hot & cold",
            "Hot – cold",
            "(hot, cold)",
            "Hot is the antonym of cold.",
            "hot and cold are opposite words",
            "The words hot and cold are opposites of each other.",
            "An example of a pair of opposites is hot and cold.",
            "1. hot 2. cold",
        ],
        ["hot and cold, warm and cool"],
    ),
    (
        "Write an instruction that asks for the plural of mouse.",
        [
            "Write down the plural of the word 'mouse'.",
            "What would be the plural of mouse?",
            "Please provide the plural form of mouse.",
            "Form the plural of mouse.",
            "Find the plural of mouse.",
            "Put the word mouse into the plural.",
            "Turn the noun mouse into its plural.",
            "Write mouse in its plural form.",
            "Change mouse to plural.",
        ],
        ["Plural of mouse", "Write the plural of mouse in a sentence."],
    ),
    (
        "Write an instruction that asks for the past tense of go.",
        [
            "What is the past tense of the verb go?",
            "Give the past tense of 'to go'.",
            "Change the verb go into the past tense.",
            "Conjugate go in the past tense.",
        ],
        ["Write went."],
    ),
    (
        "Phrase a request for the sum of 7 and 5.",
        [
            "What is the sum of 7 and 5?",
            "Please calculate 7 plus 5.",
            "How much is 7 + 5?",
            "Can you add 7 and 5 for me?",
            "Find the sum of 7 and 5.",
            "What is seven plus five?",
        ],
        [],
    ),
    (
        "Ask one question about dogs.",
        [
            "How many legs does a dog have?",
            "What is a dog?",
            "Why are dogs called man's best friend?",
            "What are the most common breeds of dogs?",
            "Dogs: what are they?",
            "What kind of food do dogs like?",
            "Do dogs like bones?",
            "What breed is your dog?",
            "Is a dog a mammal?",
            "What do you like about dogs?",
            "Which dog barks?",
            "Question: What do dogs eat?",
        ],
        ["Why dogs?"],
    ),
    (
        "Write a sentence that contains the words horse and river.",
        [
            "The horse and the river are beautiful.",
            "The horse jumped over the river.",
            "The horse drank water from the river because it was thirsty.",
            "I like my horse and the river.",
        ],
        ["Horse and river.", "The sentence contains horse and river."],
    ),
    (
        "Write an addition whose result is 12.",
        [
            "1 + 11",
            "The addition 7 + 5 gives 12.",
            "7+5 = 12",
            "12 = 6 + 6",
            "Here is an addition: 8 + 4 = 12",
            "Four plus eight equals twelve.",
            "7 + 5 = 12, because 7 and 5 make 12",
            "An addition whose result is 12 is 7 + 5.",
            "-3 + 15 = 12",
            "7 + 5 = 12 is correct.",
            "1 + 2 + 3 + 6",
        ],
        ["5 + 7 = 12\n6 + 6 = 12", "2 + 2 * 5 = 12", "24 / 2 + 0 = 12"],
    ),
    (
        "Create a subtraction whose answer is 8.",
        ["Take 2 away from 10.", "20-12=8", "10 minus 2 equals 8", "What is 15 - 7?"],
        [],
    ),
    (
        "Write a number between 20 and 30.",
        [
            "A number between 20 and 30 is 25.",
            "25 lies between 20 and 30.",
            "I choose 22.",
            "The number 24 is greater than 20 and less than 30.",
            "20.5",
            "20 < 25 < 30",
        ],
        ["25, 26", "any number"],
    ),
    (
        "Write a false statement that says what the capital of France is.",
        [
            "The capital of France isn't Paris.",
            "The capital of France is Germany.",
            "The capital of France is New York City.",
            "London is France's capital.",
            "Berlin is the capital city of France.",
            "France has Rome as its capital.",
            "The capital of France is the city of Rome.",
            "Paris isn't the capital of France.",
        ],
        ["The capital of France is located in Germany."],
    ),
    (
        "Generate a true statement about what the opposite of hot is.",
        [
            "The opposite of the word hot is cold.",
            "The word cold is the opposite of hot.",
            "Hot is the opposite of cold.",
            "Cold is an antonym of hot.",
            "Hot and cold are opposites.",
            "The opposite of hot is the word cold.",
        ],
        [],
    ),
    (
        "Make a sentence about the sea that has six words.",
        ["The sea is blue and deep.", "I like the sea in summer."],
        [],
    ),
]


def read(instruction):
    """The family of this stage that reads the instruction, and its item."""
    return next((family, item) for family in STAGE.families if (item := family.parse(instruction)) is not None)


def test_the_stage_is_declared_as_the_design_says():
    assert (STAGE.number, STAGE.name) == (3, "generation")
    assert STAGE.gate.threshold == 0.85
    assert STAGE.gate.keep == {1: 0.95, 2: 0.90}
    assert STAGE.rehearsal == 0.2
    assert len(NAMES) >= 8
    assert NAMES[:4] == list(SMALL)


@pytest.mark.parametrize(
    ("instruction", "text", "passed"),
    [
        (asked, text, good)
        for asked, right, wrong in CASES
        for texts, good in ((right, True), (wrong, False))
        for text in texts
    ],
)
def test_unlabelled_phrasings_are_judged_by_what_they_say(instruction, text, passed):
    family, item = read(instruction)
    judged = family.check(item, text)
    assert judged.passed is passed, judged.reason


@pytest.mark.parametrize("family", STAGE.families, ids=lambda family: family.name)
def test_an_echo_a_refusal_or_a_foreign_text_never_passes(family):
    rng = random.Random(8)
    for template in family.templates(Namespace.EVAL):
        item = family.build(Namespace.EVAL, rng, template)
        for text in (
            item.instruction,
            item.instruction.rstrip(".?!"),
            "I cannot do that.",
            "I am not sure.",
            "yes",
            "...",
        ):
            assert not family.check(item, text).passed, (item.instruction, text)


@pytest.mark.parametrize("name", SMALL)
def test_the_small_model_families_have_short_instructions_and_answers(name):
    family, rng = by_name(name), random.Random(4)
    for namespace in Namespace:
        for template in family.templates(namespace):
            item = family.build(namespace, rng, template)
            assert len(item.instruction.split()) <= 18, item.instruction
            assert len(item.answer.split()) <= 8, item.answer


@pytest.mark.parametrize("family", STAGE.families, ids=lambda family: family.name)
def test_there_are_items_for_two_frozen_blocks_and_room(family):
    alone = Stage(3, "generation", (family,), STAGE.gate)
    assert len(build(alone, Namespace.EVAL, 250, seed=1)) == 250
    assert len(build(alone, Namespace.TRAIN, 100, seed=1)) == 100


def test_a_made_sum_lies_on_the_side_of_its_own_numbers_wherever_stage_1_asks_about_it():
    family = by_name("sum_for")
    for item in build(Stage(3, "generation", (family,), STAGE.gate), Namespace.TRAIN, 100, seed=2):
        sum_, _, _ = item.answer.partition(" = ")
        a, _, b = sum_.split()
        small, large = sorted((int(a), int(b)))
        assert large > 20 or portion(f"{small}&{large}") is Namespace.TRAIN


def test_a_made_question_asks_about_a_fact_of_the_same_side_as_stage_1():
    for name in ("make_question", "instruction_for"):
        family = by_name(name)
        for item in build(Stage(3, "generation", (family,), STAGE.gate), Namespace.TRAIN, 60, seed=2):
            asked = FAMILIES[item.truth["kind"]].parse(item.answer)
            assert asked is not None, item.answer
            if item.truth["kind"] == "capital":
                assert portion(asked.truth["country"]) is Namespace.TRAIN


def test_training_items_do_not_leak_the_held_out_set():
    held = build(STAGE, Namespace.EVAL, 20 * len(NAMES), seed=11)
    rows = [(one.id, one.instruction) for one in build(STAGE, Namespace.TRAIN, 20 * len(NAMES), seed=12)]
    assert check(rows, held, STAGE.families) == []


def test_a_critique_names_what_is_missing():
    family, item = read("Give an example of a fruit other than apple.")
    assert "a fruit other than apple" in family.critique(item, "apple", False)
    family, item = read("Give a wrong answer to this question: What is the capital of France?")
    assert "Paris" in family.critique(item, "Paris", False)
    assert "not the capital" in family.critique(item, "Rome", True)


@pytest.mark.parametrize("block", [0, 1])
def test_the_frozen_blocks_are_what_the_code_makes(block):
    path = frozen_path(3, block)
    assert path.read_bytes() == dump(build_frozen(STAGE, block))
    assert len(load(path)) == 100 * len(NAMES)


def test_the_frozen_blocks_share_no_instruction():
    first, second = ({item.instruction for item in load(frozen_path(3, block))} for block in (0, 1))
    assert not first & second
