"""Somebody has forgotten a fact and says so: naming it is the wish, though nobody asks for it."""

from __future__ import annotations

from pipeline.stages.base import Item
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.direct_question import CountQuestion
from pipeline.stages.families.implied_reply import Reworded
from pipeline.stages.families.worded import Labelled


class ForgottenCapital(Reworded):
    """ "I keep forgetting the capital of France.": the city, as if it had been asked for. Pool and sides are those of
    the plain question."""

    name = "forgotten_capital"
    source = Capitals()
    slots = Capitals.slots
    max_new_tokens = 24
    train_wordings = (
        "I keep forgetting the capital of {country}.",
        "I can never remember the capital of {country}.",
        "The capital of {country} has slipped my mind.",
        "I wonder which city is the capital of {country}.",
        "My homework asks for the capital of {country}.",
        "I would love to know the capital of {country}.",
        "My quiz wants the capital of {country}, and I am stuck.",
        "The capital of {country} is",
        "I need the capital of {country} for my crossword.",
        "Nobody here knows the capital of {country}.",
        "It is on the tip of my tongue, the capital of {country}.",
        "I should know the capital of {country}, but I do not.",
    )
    eval_wordings = (
        "I have forgotten what the capital of {country} is called.",
        "Somehow I cannot think of the capital of {country}.",
        "I am trying to remember the capital city of {country}.",
        "My daughter wants to know the capital of {country}.",
        "I have no idea which city is the capital of {country}.",
        "The one capital I never remember is that of {country}.",
        "I am not sure which city is the capital of {country}.",
        "My old map does not show the capital of {country}.",
        "The capital city of {country} is called",
        "For this form I need the name of the capital of {country}.",
        "My friend moved to the capital of {country}, but I forget its name.",
        "We are arguing about what the capital of {country} is.",
    )
    more_wordings = (
        "I forgot the capital of {country}.",
        "I don't remember the capital of {country}.",
        "I always forget the capital of {country}.",
        "I need to know the capital of {country}.",
        "I cannot remember the capital of {country}.",
        "The capital city of {country} is",
    )

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response names the capital that the speaker has forgotten."
        return f"The speaker wants to be reminded that the capital of {item.truth['country']} is {item.answer}."

    labelled = (
        Labelled(
            "I keep forgetting the capital of France.",
            right=("Paris", "Paris.", "The capital of France is Paris.", "It is Paris.", "That would be Paris."),
            wrong=("Lyon", "Madrid", "The capital of France is Lyon.", "France", "I forget it too."),
            odd=(
                "You mean Paris.",
                "No problem! It's Paris.",
                "Don't worry, it is Paris.",
                "You are thinking of Paris.",
                "PARIS!",
                "I keep forgetting the capital of France. Paris.",
            ),
            trap=(
                "",
                "I keep forgetting the capital of France.",
                "Is it Paris?",
                "Paris or Lyon",
                "I cannot remember it either.",
                "It is not Paris.",
                "Paris. I keep forgetting the capital of Spain. Madrid.",
                "You keep forgetting the capital of France.",
                "Paris, Berlin, Rome",
                "Sure!",
            ),
        ),
        Labelled(
            "The capital city of Colombia is called",
            right=("Bogotá", "Bogota."),
            wrong=("Medellín",),
            odd=("The capital city of Colombia is called Bogotá.", "Bogota, Colombia"),
            trap=("Bogota and Caracas", "Colombia City"),
        ),
    )


class ForgottenNumber(Reworded):
    """ "I keep forgetting how many days June has.": the number, as if it had been asked for."""

    name = "forgotten_number"
    source = CountQuestion()
    slots = CountQuestion.slots
    max_new_tokens = 24
    topic_fields = CountQuestion.topic_fields
    train_wordings = (
        "I keep forgetting how many {part} {whole} has.",
        "I can never remember how many {part} {whole} has.",
        "I wonder how many {part} {whole} has.",
        "The number of {part} that {whole} has is",
        "My homework is to find out how many {part} {whole} has.",
        "My little son asks how many {part} {whole} has.",
        "It would help me to know how many {part} {whole} has.",
        "I am not sure how many {part} {whole} has.",
        "Nobody at the table knows how many {part} {whole} has.",
        "My quiz asks how many {part} {whole} has, and I am stuck.",
        "I need to know how many {part} {whole} has.",
    )
    eval_wordings = (
        "I have forgotten how many {part} {whole} has.",
        "How many {part} {whole} has, I never remember.",
        "I was wondering how many {part} {whole} has.",
        "I want to find out how many {part} {whole} has.",
        "We are arguing about how many {part} {whole} has.",
        "I have no idea how many {part} {whole} has.",
        "My daughter wants to know how many {part} {whole} has.",
        "Somehow I forget how many {part} {whole} has.",
        "For my test I must know how many {part} {whole} has.",
        "If you count the {part} that {whole} has, you get",
        "It has slipped my mind how many {part} {whole} has.",
    )
    more_wordings = (
        "I forgot how many {part} {whole} has.",
        "I always forget how many {part} {whole} has.",
        "I don't know how many {part} {whole} has.",
    )

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response gives the number that the speaker has forgotten."
        return f"The speaker wants the number of {item.truth['fact']}, which is {item.answer}."

    labelled = (
        Labelled(
            "I keep forgetting how many days June has.",
            right=("30", "30.", "June has 30 days.", "Thirty", "There are 30 days in June.", "30 days"),
            wrong=("31", "June has 31 days.", "June", "I keep forgetting it too.", "Many days."),
            odd=(
                "It has thirty days.",
                "Don't worry, it has 30 days.",
                "No problem! June has 30 days.",
                "I keep forgetting how many days June has. 30",
                "You mean 30 days.",
            ),
            trap=(
                "",
                "I keep forgetting how many days June has.",
                "30 or 31",
                "Is it 30?",
                "How many days does June have?",
                "I keep forgetting how many days July has.",
                "30. I keep forgetting how many days May has. 31",
                "June has 31 days, not 30.",
                "300",
            ),
        ),
        Labelled(
            "If you count the legs that a spider has, you get",
            right=("8", "eight", "eight legs", "8 legs."),
            wrong=("6", "a spider"),
            odd=("If you count the legs that a spider has, you get eight.",),
            trap=("tired", "6 or 8"),
        ),
    )
