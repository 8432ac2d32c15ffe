"""Sentences with one grammatical mistake and every way of mending it that a careful reader would accept."""

from __future__ import annotations

from dataclasses import dataclass

# key | the sentence as it should be | the mistaken part > its corrections, the preferred one first
# the key is the word that the mistake is about: it decides the side of the pool, as in the families of single words
_TABLE = """
apple | She ate an apple after lunch. | a apple > an apple
orange | He bought an orange at the shop. | a orange > an orange
egg | I had an egg for breakfast. | a egg > an egg
elephant | We saw an elephant at the zoo. | a elephant > an elephant
island | They live on an island. | a island > an island
owl | There is an owl in that tree. | a owl > an owl
umbrella | Take an umbrella with you. | a umbrella > an umbrella
uncle | He has an uncle in Canada. | a uncle > an uncle
onion | Cut an onion into small pieces. | a onion > an onion
actor | Her father is an actor. | a actor > an actor
hour | The walk takes an hour. | a hour > an hour
dog | He has a dog and two cats. | an dog > a dog
book | She gave me a book. | an book > a book
horse | I saw a horse on the hill. | an horse > a horse
car | They want to buy a car. | an car > a car
lemon | Put a lemon into the tea. | an lemon > a lemon
letter | He wrote a letter to his aunt. | an letter > a letter
nurse | My sister is a nurse. | an nurse > a nurse
university | She works at a university. | an university > a university
go | Yesterday she went to the market. | goed > went
come | He came home late last night. | comed > came
see | We saw a fox last night. | seed > saw
eat | They ate all the bread yesterday. | eated > ate
drink | She drank her tea an hour ago. | drinked > drank
run | The dog ran into the garden yesterday. | runned > ran
swim | We swam in the lake last summer. | swimmed > swam
sing | The boys sang a song last night. | singed > sang
give | He gave me a ring last year. | gived > gave
take | She took the early train yesterday. | taked > took
make | We made a cake last Sunday. | maked > made
know | He knew the answer yesterday. | knowed > knew
throw | The girl threw the ball over the wall. | throwed > threw
fly | The birds flew south last autumn. | flied > flew
write | I wrote two letters last week. | writed > wrote
drive | He drove to the coast yesterday. | drived > drove
speak | She spoke to the doctor on Monday. | speaked > spoke
break | Tom broke a cup this morning. | breaked > broke
choose | They chose the blue car. | choosed > chose
wear | She wore a red hat yesterday. | weared > wore
forget | I forgot my keys again. | forgetted > forgot
sleep | The baby slept until noon. | sleeped > slept
find | He found a coin in the street. | finded > found
tell | She told me a secret. | telled > told
sell | They sold the old house last year. | selled > sold
buy | We bought three chairs yesterday. | buyed > bought
bring | He brought flowers to the party. | bringed > brought
think | I thought about it all night. | thinked > thought
teach | She taught music for ten years. | teached > taught
catch | The cat caught a mouse. | catched > caught
keep | He kept the letter for years. | keeped > kept
feel | I felt cold last night. | feeled > felt
lose | We lost the game on Friday. | losed > lost
build | They built a bridge over the river. | builded > built
hear | I heard a loud noise. | heared > heard
dig | The dog dug a hole. | digged > dug
fall | The cup fell off the table. | falled > fell
like | He likes old films. | like > likes, liked
walk | She walks to school every day. | walk > walks, walked
play | My brother plays the drums. | play > plays, played
work | Her father works in a bank. | work > works, worked
live | My aunt lives in a small village. | live > lives, lived
need | This plant needs more light. | need > needs, needed
love | My mother loves roses. | love > loves, loved
want | The boy wants a new bike. | want > wants, wanted
help | He helps his neighbour every week. | help > helps, helped
clean | She cleans the windows every spring. | clean > cleans, cleaned
cook | My uncle cooks very well. | cook > cooks, cooked
open | The shop opens at nine every day. | open > opens, opened
study | Her sister studies law. | study > studies, studied
carry | The mule carries the bags. | carry > carries, carried
watch | He watches birds every morning. | watch > watches, watched
wash | She washes her car on Sundays. | wash > washes, washed
bark | Their dog barks at night. | bark > barks, barked
rain | It often rains in April. | rain > rains, rained
shine | The moon shines brightly tonight. | shine > shines, shone
hungry | The dogs are hungry. | dogs is > dogs are, dog is
tall | These trees are very tall. | trees is > trees are
closed | The windows were closed. | windows was > windows were, window was
ready | We are ready to leave. | We is > We are
tired | The children were tired. | children was > children were, child was
late | You are late again. | You is > You are
happy | They were happy to see us. | They was > They were
cold | My hands are cold. | hands is > hands are, hand is
empty | Both bottles are empty. | bottles is > bottles are
sweet | The grapes were sweet. | grapes was > grapes were
afraid | I am afraid of spiders. | I is > I am
busy | The shops are busy today. | shops is > shops are
nothing | I do not know anything about it. | do not know nothing > do not know anything, know nothing
nobody | She did not see anybody. | did not see nobody > did not see anybody, saw nobody, did not see anyone
never | He does not ever eat meat. | does not never eat > does not ever eat, never eats
nowhere | We did not go anywhere. | did not go nowhere > did not go anywhere, went nowhere
none | They do not have any money. | do not have no money > do not have any money, have no money
big | This box is bigger than that one. | more bigger > bigger
fast | A car is faster than a bike. | more faster > faster
old | My sister is older than me. | more older > older
cheap | The bus is cheaper than the train. | more cheaper > cheaper
strong | He is stronger than his brother. | more stronger > stronger
warm | It is warmer today than yesterday. | more warmer > warmer
small | A cat is smaller than a tiger. | more smaller > smaller
good | This soup is better than the last one. | gooder > better
bad | The weather is worse today. | badder > worse
long | This is the longest river in the country. | most longest > longest
high | That is the highest tower in town. | most highest > highest
much | How much water do you drink? | many water > much water
many | How many apples did you buy? | much apples > many apples
few | There are fewer cars on Sunday. | less cars > fewer cars
she | She is my best friend. | Her is > She is
he | He lives in the next street. | Him lives > He lives
they | They are on the bus. | Them are > They are
we | We went to the beach. | Us went > We went
me | She gave the book to me. | to I > to me
him | I saw him at the station. | saw he > saw him
them | We met them in the park. | met they > met them
us | They told us a story. | told we > told us
child | The children are in the garden. | childs are > children are
foot | My feet hurt. | foots > feet
tooth | Brush your teeth every night. | tooths > teeth
mouse | The cat chased two mice. | two mouses > two mice
woman | Three women waited for the bus. | womans > women
sheep | The farmer has nine sheep. | sheeps > sheep
goose | The geese are on the pond. | gooses > geese
man | Two men carried the piano. | mans > men
well | She sings very well. | very good > very well
quickly | He ran quickly to the door. | ran quick > ran quickly
slowly | Please drive slowly. | drive slow > drive slowly
quietly | They spoke quietly. | spoke quiet > spoke quietly
to | She listens to the radio. | listens the > listens to the
for | We waited for the bus. | waited the > waited for the
at | Look at this picture. | Look this > Look at this
on | The party is on Monday. | in Monday > on Monday
in | Her birthday is in June. | on June > in June
"""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sentence with one mistake. `key`: what it is about; `accepted`: mended sentences, the preferred one first."""

    key: str
    wrong: str
    accepted: tuple[str, ...]


def _read(line: str) -> Mistake:
    key, right, change = (part.strip() for part in line.split("|"))
    bad, _, mended = change.partition(" > ")
    good = [one.strip() for one in mended.split(",")]
    if right.count(good[0]) != 1:
        raise ValueError(f"the sentence of {key!r} does not hold {good[0]!r} once: {right}")
    return Mistake(key, right.replace(good[0], bad), tuple(right.replace(good[0], one) for one in good))


ROWS = tuple(_read(line) for line in _TABLE.strip().splitlines())
