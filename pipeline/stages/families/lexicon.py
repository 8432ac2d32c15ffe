"""Things by class, for lists, yes-or-no questions and choices. The first dozen of a class are the best known ones.

Lexicons are wide on purpose: an answer is judged by membership, so a missing word would fail a right answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Class:
    """A class of things. `realm` groups classes that might overlap: a question never sets two of one realm against
    each other. `counted`: its members take an article ("a rose")."""

    singular: str
    plural: str
    members: tuple[str, ...]
    realm: str = ""
    counted: bool = True

    @property
    def proper(self) -> bool:
        """Are its members written with a capital letter?"""
        return self.realm in {"place", "speech", "time", "space"}


def _class(singular: str, plural: str, members: str, realm: str = "", counted: bool = True) -> Class:
    names = tuple(dict.fromkeys(" ".join(name.split()) for name in members.split(",") if name.strip()))
    return Class(singular, plural, names, realm, counted)


_ROWS = (
    _class("fruit", "fruits", """
        apple, banana, orange, grape, pear, peach, cherry, strawberry, mango, lemon, plum, kiwi, pineapple,
        watermelon, melon, blueberry, raspberry, blackberry, lime, apricot, fig, date, papaya, coconut,
        grapefruit, pomegranate, cranberry, nectarine, tangerine, mandarin, clementine, guava, lychee, passion
        fruit, passionfruit, dragon fruit, dragonfruit, cantaloupe, honeydew, persimmon, quince, gooseberry,
        currant, blackcurrant, redcurrant, avocado, tomato, olive, kumquat, star fruit, starfruit, jackfruit,
        durian, elderberry, mulberry, rhubarb, berry, prune, raisin, satsuma, plantain, kiwifruit, boysenberry,
        cucumber, pumpkin, acai""", "food"),
    _class("vegetable", "vegetables", """
        carrot, potato, onion, cabbage, broccoli, spinach, lettuce, pea, bean, cauliflower, celery, cucumber,
        tomato, pepper, garlic, corn, sweet potato, beet, beetroot, radish, turnip, pumpkin, squash, zucchini,
        courgette, eggplant, aubergine, asparagus, kale, leek, mushroom, artichoke, parsnip, okra, yam, green
        bean, chard, brussels sprout, brussels sprouts, bell pepper, chili, chilli, chili pepper, bok choy,
        arugula, rocket, fennel, shallot, scallion, spring onion, sprout, collard green, mustard green,
        rutabaga, swede, endive, watercress, green pea, lentil, soybean, chickpea, sweetcorn, rhubarb, kohlrabi,
        green pepper, red pepper""", "food"),
    _class("animal", "animals", """
        dog, cat, horse, cow, lion, tiger, elephant, rabbit, sheep, bear, monkey, pig, mouse, wolf, fox, goat,
        deer, giraffe, zebra, kangaroo, camel, donkey, rat, squirrel, hamster, leopard, cheetah, panda, koala,
        gorilla, chimpanzee, hippopotamus, hippo, rhinoceros, rhino, whale, dolphin, seal, otter, beaver,
        hedgehog, bat, moose, elk, buffalo, bison, llama, alpaca, jaguar, hyena, badger, raccoon, skunk, walrus,
        polar bear, snake, lizard, crocodile, alligator, turtle, tortoise, frog, toad, bird, chicken, duck,
        goose, turkey, eagle, owl, parrot, penguin, fish, shark, salmon, tuna, octopus, squid, crab, lobster,
        snail, worm, spider, bee, ant, butterfly, fly, mosquito, ape, orangutan, antelope, gazelle, reindeer,
        ox, bull, mule, pony, kitten, puppy, lamb, calf, guinea pig, ferret, weasel, mole, sloth, armadillo,
        lynx, puma, cougar, panther, coyote, jackal, dinosaur, iguana, gecko, chameleon, hare, rooster, hen,
        swan, pigeon, crow, raven, hawk, falcon, sparrow, robin, peacock, ostrich, flamingo, seagull, jellyfish,
        starfish, lemur, baboon, platypus, wombat, meerkat, porcupine, boar, swine, insect, reptile""", "creature"),
    _class("colour", "colours", """
        red, blue, green, yellow, black, white, orange, purple, pink, brown, grey, gray, violet, indigo,
        turquoise, gold, silver, beige, maroon, navy, cyan, magenta, teal, lime, olive, crimson, scarlet, tan,
        cream, ivory, lavender, lilac, aqua, bronze, coral, amber, burgundy, mauve, peach, salmon, khaki, navy
        blue, sky blue, dark blue, light blue, dark green, light green, fuchsia, ruby, emerald, rose, mustard,
        rust, charcoal, plum, azure, mint, copper, chocolate, turquoise blue, sapphire""", "colour", False),
    _class("bird", "birds", """
        eagle, owl, parrot, penguin, sparrow, robin, crow, pigeon, swan, duck, hawk, chicken, goose, raven,
        dove, falcon, peacock, ostrich, flamingo, seagull, gull, turkey, woodpecker, hummingbird, canary, stork,
        pelican, vulture, magpie, finch, swallow, cardinal, kingfisher, heron, crane, albatross, toucan,
        bluebird, blackbird, jay, blue jay, starling, nightingale, lark, wren, cuckoo, kiwi, emu, quail,
        pheasant, partridge, osprey, condor, kite, cockatoo, macaw, budgie, budgerigar, parakeet, thrush, hen,
        rooster, bald eagle, golden eagle, barn owl, puffin, ibis, buzzard, mockingbird, oriole, warbler, tit,
        goldfinch, chickadee, swift, tern, mallard, loon, grouse, lovebird, rook""", "creature"),
    _class("fish", "fish", """
        salmon, tuna, trout, cod, shark, herring, carp, sardine, bass, catfish, eel, goldfish, mackerel,
        halibut, haddock, pike, perch, anchovy, swordfish, flounder, sole, snapper, red snapper, tilapia,
        plaice, sturgeon, barracuda, clownfish, piranha, guppy, ray, stingray, marlin, grouper, sea bass,
        pollock, minnow, turbot, monkfish, mullet, hake, angelfish, betta, walleye, bluefish, mahi mahi,
        sunfish, pufferfish, bream, great white shark, rainbow trout, seahorse, whiting, smelt, tench, roach,
        bluegill, crappie, largemouth bass, hammerhead shark, tiger shark""", "creature"),
    _class("insect", "insects", """
        ant, bee, fly, butterfly, mosquito, beetle, wasp, grasshopper, moth, cricket, dragonfly, ladybug,
        cockroach, ladybird, termite, hornet, bumblebee, flea, locust, cicada, earwig, firefly, aphid, mantis,
        praying mantis, stick insect, gnat, midge, louse, bedbug, bed bug, caterpillar, weevil, honeybee, honey
        bee, housefly, house fly, fruit fly, horsefly, mayfly, damselfly, stink bug, silverfish, water strider,
        katydid, tick, bug, lacewing, dung beetle, yellowjacket, yellow jacket, june bug, thrips,
        maggot""", "creature"),
    _class("flower", "flowers", """
        rose, tulip, daisy, lily, sunflower, orchid, daffodil, violet, carnation, lavender, poppy, marigold,
        iris, pansy, lilac, jasmine, peony, chrysanthemum, hyacinth, geranium, petunia, dahlia, crocus,
        snowdrop, buttercup, hydrangea, lotus, magnolia, begonia, bluebell, primrose, camellia, hibiscus,
        dandelion, gardenia, azalea, aster, foxglove, freesia, gladiolus, zinnia, anemone, forget-me-not, water
        lily, cherry blossom, amaryllis, snapdragon, heather, fuchsia, cornflower, morning glory, sweet pea,
        honeysuckle, rhododendron, clematis, wisteria, cosmos, lupin, verbena, nasturtium, impatiens, black-eyed
        susan, baby's breath, larkspur, ranunculus, bougainvillea, gerbera, edelweiss, narcissus, alstroemeria,
        hollyhock, phlox, delphinium""", "plant"),
    _class("tree", "trees", """
        oak, pine, maple, birch, willow, elm, ash, cedar, fir, beech, palm, spruce, poplar, redwood, sequoia,
        cypress, chestnut, walnut, apple, cherry, olive, eucalyptus, sycamore, hickory, aspen, magnolia,
        juniper, larch, yew, holly, hazel, linden, lime, acacia, alder, banyan, baobab, bamboo, teak, mahogany,
        ebony, hemlock, dogwood, pecan, fig, mango, orange, lemon, pear, plum, peach, coconut, rowan, mulberry,
        hawthorn, bonsai, ginkgo, jacaranda, almond, laurel, locust, cottonwood, tulip, sugar maple, palm tree,
        weeping willow, mesquite, horse chestnut, douglas fir, white oak, red oak, christmas, coconut palm, date
        palm, elder""", "plant"),
    _class("tool", "tools", """
        hammer, screwdriver, saw, wrench, drill, axe, shovel, pliers, chisel, rake, ladder, spade, ruler, level,
        tape measure, hoe, measuring tape, crowbar, sander, file, clamp, vice, vise, mallet, spanner, pickaxe,
        hacksaw, knife, scissors, ax, nail gun, chainsaw, trowel, sledgehammer, plane, socket wrench, allen key,
        allen wrench, plunger, brush, paintbrush, broom, wheelbarrow, hatchet, utility knife, soldering iron,
        nail, screw, bolt, pitchfork, plier, jack, stapler, grinder, power drill, circular saw, jigsaw, lathe,
        shears, pruner, lever, pulley, wedge, awl, anvil, hand saw, handsaw, toolbox, tweezers, sickle, scythe,
        machete, pick, glue gun, flashlight, tongs, lawnmower, lawn mower, electric drill""", "object"),
    _class("vehicle", "vehicles", """
        car, bus, truck, train, bicycle, motorcycle, boat, ship, van, taxi, airplane, helicopter, tram, lorry,
        bike, plane, aeroplane, scooter, tractor, ambulance, fire engine, fire truck, submarine, ferry,
        motorbike, subway, jeep, limousine, minivan, pickup, pickup truck, tank, yacht, canoe, kayak, sailboat,
        rocket, spaceship, wagon, cart, carriage, caravan, police car, sled, sledge, tricycle, moped,
        hovercraft, cab, coach, bulldozer, trailer, jet, skateboard, sports car, suv, sedan, race car, racing
        car, trolley, hot air balloon, speedboat, snowmobile, rickshaw, tuk-tuk, trolleybus, forklift,
        convertible, school bus, camper, rv, go-kart, gondola, segway, cruise ship, hatchback, station wagon,
        motor, locomotive, automobile, unicycle, raft, rowboat, monorail, metro, truck trailer, dump truck,
        garbage truck, crane, excavator, hearse, minibus, electric car, glider, cable car, quad bike, atv, space
        shuttle, spacecraft, drone""", "object"),
    _class("piece of furniture", "pieces of furniture", """
        table, chair, sofa, bed, desk, bookcase, wardrobe, couch, stool, bench, cupboard, armchair, shelf,
        dresser, cabinet, drawer, bookshelf, nightstand, coffee table, dining table, rocking chair, sideboard,
        lamp, ottoman, recliner, chest, chest of drawers, crib, cot, mirror, futon, bunk bed, bedside table,
        kitchen table, office chair, dining chair, love seat, loveseat, end table, side table, closet, rug,
        footstool, hutch, vanity, tv stand, buffet, filing cabinet, high chair, settee, hammock, beanbag, bean
        bag, mattress, headboard, console, console table, workbench, picnic table, easy chair, divan, chaise
        longue, writing desk, night table, bar stool, rack, coat rack, television stand, entertainment center,
        sofa bed, daybed, carpet, bureau, credenza""", "object"),
    _class("musical instrument", "musical instruments", """
        piano, guitar, violin, drum, flute, trumpet, cello, saxophone, clarinet, harp, trombone, organ, banjo,
        ukulele, viola, accordion, oboe, tuba, bass, harmonica, mandolin, xylophone, bassoon, tambourine,
        keyboard, recorder, horn, french horn, double bass, electric guitar, bass guitar, cymbal, triangle,
        lute, sitar, bagpipe, bagpipes, fiddle, synthesizer, piccolo, bell, bugle, harpsichord, marimba,
        maracas, bongo, conga, snare drum, bass drum, timpani, gong, lyre, pan flute, cornet, castanets, djembe,
        tabla, didgeridoo, euphonium, acoustic guitar, percussion, drum set, drum kit, kazoo, vibraphone,
        zither, concertina, grand piano, whistle, tin whistle, glockenspiel""", "object"),
    _class("piece of clothing", "pieces of clothing", """
        shirt, dress, skirt, coat, jacket, hat, sock, sweater, scarf, glove, trousers, jeans, shorts, pants,
        t-shirt, tee shirt, tie, belt, suit, blouse, shoe, boot, cap, hoodie, pajamas, pyjamas, vest, cardigan,
        jumper, underwear, bra, swimsuit, gown, raincoat, robe, sandal, sneaker, mitten, apron, uniform, bikini,
        tights, stocking, leggings, overalls, poncho, kimono, tuxedo, blazer, pullover, turtleneck, slipper,
        bathrobe, beanie, tank top, top, legging, jean, pant, short, trouser, polo shirt, sweatshirt, panties,
        boxers, briefs, parka, waistcoat, dungarees, shawl, sari, kilt, bow tie, cape, cloak, anorak, nightgown,
        overcoat, leotard, sweatpants, socks, undershirt, jersey, toga, sarong, windbreaker,
        corset, tunic""", "object"),
    _class("sport", "sports", """
        football, tennis, basketball, swimming, golf, baseball, hockey, rugby, volleyball, boxing, cricket,
        skiing, soccer, badminton, cycling, running, table tennis, ping pong, gymnastics, wrestling, rowing,
        sailing, surfing, skating, ice skating, figure skating, karate, judo, archery, fencing, athletics, ice
        hockey, softball, handball, lacrosse, squash, polo, water polo, bowling, snowboarding, climbing, rock
        climbing, diving, horse riding, horseback riding, marathon, martial arts, taekwondo, skateboarding,
        darts, snooker, billiards, pool, curling, track and field, triathlon, weightlifting, american football,
        field hockey, netball, racing, car racing, motor racing, kayaking, canoeing, track, jogging, hiking,
        kickboxing, fishing, hunting, dodgeball, racquetball, chess, yoga, dancing, dance, cheerleading, speed
        skating, bobsled, luge, high jump, long jump, javelin, shot put, sprinting, equestrian, shooting,
        pickleball, ultimate frisbee, frisbee, mma, mixed martial arts, sumo, sumo wrestling, biking, walking,
        mountain biking, formula 1, paddle, padel, croquet, kabaddi, rafting, skydiving, scuba diving,
        windsurfing, wakeboarding, motocross, karting, bmx, orienteering, parkour,
        cross country, ballet""", "activity", False),
    _class("country", "countries", """
        france, germany, italy, spain, canada, brazil, japan, china, india, mexico, egypt, australia, russia,
        england, scotland, wales, ireland, poland, portugal, greece, turkey, sweden, norway, finland, denmark,
        netherlands, holland, belgium, switzerland, austria, hungary, romania, bulgaria, ukraine, united states,
        united states of america, usa, us, u.s.a, u.s, america, united kingdom, uk, u.k, great britain, britain,
        argentina, chile, peru, colombia, venezuela, ecuador, bolivia, paraguay, uruguay, cuba, jamaica, haiti,
        panama, costa rica, guatemala, honduras, nicaragua, el salvador, south africa, nigeria, kenya, ghana,
        ethiopia, morocco, algeria, tunisia, libya, sudan, south sudan, uganda, tanzania, zambia, zimbabwe,
        angola, mozambique, namibia, botswana, madagascar, senegal, mali, cameroon, congo, rwanda, somalia,
        iran, iraq, syria, israel, jordan, lebanon, saudi arabia, yemen, oman, qatar, kuwait, united arab
        emirates, uae, bahrain, afghanistan, pakistan, bangladesh, nepal, sri lanka, bhutan, myanmar, burma,
        thailand, vietnam, laos, cambodia, malaysia, singapore, indonesia, philippines, south korea, north
        korea, korea, mongolia, kazakhstan, uzbekistan, new zealand, fiji, iceland, estonia, latvia, lithuania,
        belarus, czech republic, czechia, slovakia, slovenia, croatia, serbia, bosnia, bosnia and herzegovina,
        albania, macedonia, north macedonia, montenegro, kosovo, moldova, georgia, armenia, azerbaijan, cyprus,
        malta, luxembourg, monaco, vatican city, liechtenstein, andorra, san marino, gabon, niger, chad, togo,
        benin, burkina faso, ivory coast, liberia, sierra leone, guinea, gambia, malawi, eritrea, djibouti,
        burundi, lesotho, mauritius, dominican republic, puerto rico, trinidad and tobago, barbados, bahamas,
        belize, guyana, suriname, taiwan, palestine, papua new guinea, maldives, turkmenistan, tajikistan,
        kyrgyzstan, brunei, samoa, tonga, hong kong, seychelles, eswatini, mauritania""", "place", False),
    _class("city", "cities", """
        london, paris, berlin, rome, madrid, tokyo, new york, moscow, sydney, beijing, cairo, chicago, los
        angeles, new york city, san francisco, boston, washington, washington d.c, washington dc, seattle,
        miami, houston, dallas, atlanta, philadelphia, detroit, denver, phoenix, las vegas, san diego, toronto,
        vancouver, montreal, ottawa, mexico city, rio de janeiro, sao paulo, são paulo, buenos aires, lima,
        bogota, bogotá, santiago, caracas, havana, lisbon, barcelona, milan, venice, naples, florence, munich,
        hamburg, frankfurt, cologne, vienna, zurich, geneva, bern, brussels, amsterdam, rotterdam, copenhagen,
        stockholm, oslo, helsinki, dublin, edinburgh, glasgow, manchester, liverpool, birmingham, oxford,
        cambridge, bristol, leeds, warsaw, krakow, prague, budapest, bucharest, sofia, belgrade, athens,
        istanbul, ankara, kiev, kyiv, minsk, saint petersburg, st. petersburg, dubai, abu dhabi, doha, riyadh,
        mecca, jerusalem, tel aviv, beirut, damascus, baghdad, tehran, kabul, karachi, lahore, islamabad, delhi,
        new delhi, mumbai, bangalore, kolkata, chennai, hyderabad, dhaka, kathmandu, bangkok, hanoi, ho chi minh
        city, kuala lumpur, singapore, jakarta, manila, hong kong, shanghai, guangzhou, shenzhen, taipei, seoul,
        busan, osaka, kyoto, hiroshima, melbourne, brisbane, perth, auckland, wellington, nairobi, lagos, accra,
        johannesburg, cape town, casablanca, tunis, algiers, addis ababa, lyon, marseille, nice, bordeaux,
        toulouse, austin, portland, new orleans, orlando, san jose, baltimore, minneapolis, cleveland,
        pittsburgh, nashville, honolulu, york, bath, calgary, quebec, turin, seville, valencia, porto,
        sacramento, san antonio, charlotte, indianapolis, columbus, kansas city, salt lake city, st. louis,
        tampa, riga, tallinn, vilnius, stuttgart, dresden, leipzig, antwerp, lausanne, nagoya, sapporo,
        canberra, adelaide, reykjavik, marrakech, dakar, medellin, quito, montevideo""", "place", False),
    _class("language", "languages", """
        english, french, spanish, german, italian, chinese, japanese, russian, arabic, portuguese, hindi,
        korean, latin, greek, turkish, dutch, swedish, polish, hebrew, danish, norwegian, finnish, czech,
        hungarian, romanian, bulgarian, ukrainian, thai, vietnamese, indonesian, malay, mandarin, cantonese,
        bengali, urdu, punjabi, persian, farsi, swahili, irish, welsh, gaelic, icelandic, serbian, croatian,
        slovak, slovenian, catalan, basque, tamil, telugu, marathi, gujarati, filipino, tagalog, afrikaans,
        zulu, yoruba, hausa, igbo, amharic, esperanto, sanskrit, nepali, mongolian, estonian, latvian,
        lithuanian, albanian, armenian, georgian, kurdish, pashto, burmese, khmer, lao, somali, mandarin
        chinese, python, java, javascript, c++, maltese, malayalam, kannada, sinhala, yiddish, haitian creole,
        creole, xhosa, belarusian, kazakh, uzbek, scottish gaelic, javanese, c, ruby, azerbaijani, hawaiian,
        quechua""", "speech", False),
    _class("metal", "metals", """
        iron, gold, silver, copper, steel, aluminium, lead, tin, zinc, aluminum, nickel, platinum, bronze,
        brass, titanium, mercury, chromium, tungsten, cobalt, magnesium, uranium, lithium, sodium, potassium,
        calcium, manganese, palladium, chrome, stainless steel, cadmium, bismuth, barium, rhodium, vanadium,
        gallium, beryllium, iridium, plutonium, pewter, cast iron, molybdenum, antimony, radium, thorium,
        osmium, indium, alloy""", "substance", False),
    _class("body part", "body parts", """
        hand, foot, arm, leg, head, nose, ear, eye, mouth, knee, finger, toe, neck, shoulder, elbow, back,
        chest, stomach, heart, brain, hair, face, lip, tongue, tooth, chin, cheek, wrist, ankle, hip, thumb,
        nail, skin, belly, forehead, liver, lung, kidney, throat, thigh, heel, eyebrow, waist, bone, eyelash,
        palm, calf, shin, torso, abdomen, spine, jaw, feet, teeth, eyelid, muscle, fingernail, toenail, rib,
        skull, intestine, bladder, groin, navel, armpit, temple, nostril, blood, toes""", "body"),
    _class("drink", "drinks", """
        water, milk, tea, coffee, juice, wine, beer, lemonade, soda, cola, hot chocolate, cocoa, orange juice,
        apple juice, champagne, whiskey, whisky, vodka, rum, gin, coke, coca-cola, coca cola, pepsi, sprite,
        fanta, smoothie, milkshake, iced tea, green tea, black tea, espresso, cappuccino, latte, cider, brandy,
        tequila, cocktail, sparkling water, mineral water, tonic water, lemon juice, fruit juice, tomato juice,
        grape juice, red wine, white wine, energy drink, soft drink, ginger ale, root beer, punch, mojito,
        martini, margarita, sangria, kombucha, mocha, chai, herbal tea, squash, coconut water, pineapple juice,
        cranberry juice, dr pepper, gatorade, red bull, hot tea, iced coffee, ginger beer, liquor, sake,
        bourbon, scotch, mead, lassi, matcha, mango juice, grapefruit juice, carrot juice, lime juice, eggnog,
        soda water, club soda, seltzer, americano, macchiato, frappuccino, daiquiri, pina colada, mountain dew,
        7up""", "food", False),
    _class("month", "months of the year", """january, february, march, april, may, june, july, august, september,
        october, november, december""", "time", False),
    _class("weekday", "days of the week", """monday, tuesday, wednesday, thursday, friday, saturday,
        sunday""", "time", False),
    _class("planet", "planets", "mercury, venus, earth, mars, jupiter, saturn, uranus, neptune", "space", False),
    _class("continent", "continents", """africa, asia, europe, north america, south america, australia,
        antarctica, oceania, america""", "place", False),
    _class("shape", "shapes", """
        circle, square, triangle, rectangle, oval, pentagon, hexagon, octagon, star, diamond, heart, cube,
        sphere, cylinder, cone, pyramid, trapezoid, parallelogram, rhombus, ellipse, polygon, crescent, cross,
        prism, heptagon, nonagon, decagon, kite, trapezium, quadrilateral, semicircle, arrow, spiral, line,
        cuboid, torus, box, ring, rounded rectangle, arc, tetrahedron, ball, isosceles triangle, equilateral
        triangle, right triangle""", "form"),
    _class("room of a house", "rooms of a house", """
        kitchen, bedroom, bathroom, living room, dining room, study, attic, basement, garage, hall, hallway,
        laundry room, office, toilet, cellar, lounge, pantry, nursery, library, guest room, home office,
        playroom, family room, den, closet, balcony, porch, utility room, master bedroom, conservatory, foyer,
        sunroom, game room, guest bedroom, sitting room, entryway, loft, parlor, drawing room, mudroom,
        corridor, restroom, shower room, children's room, kids' room, entrance hall, storage room, entrance,
        patio, staircase, workshop, gym, washroom, bath, washing room, dressing room, powder room, tv room,
        laundry""", "building"),
    _class("job", "jobs", """
        teacher, doctor, nurse, farmer, police officer, lawyer, engineer, chef, pilot, firefighter, dentist,
        driver, cook, baker, carpenter, plumber, electrician, waiter, waitress, scientist, artist, musician,
        writer, actor, journalist, soldier, secretary, manager, accountant, architect, mechanic, salesperson,
        salesman, cashier, librarian, hairdresser, barber, butcher, gardener, painter, photographer, programmer,
        software engineer, software developer, developer, designer, graphic designer, judge, singer, tailor,
        fisherman, miner, cleaner, veterinarian, vet, pharmacist, surgeon, professor, astronaut, policeman,
        fireman, postman, mailman, builder, receptionist, banker, translator, editor, reporter, psychologist,
        therapist, consultant, analyst, data analyst, bus driver, taxi driver, truck driver, bartender, actress,
        author, clerk, tutor, coach, model, politician, shopkeeper, electrical engineer, civil engineer, web
        developer, economist, biologist, chemist, physicist, janitor, maid, babysitter, nanny, security guard,
        guard, social worker, flight attendant, paramedic, detective, sales manager, project manager, data
        scientist, dancer, construction worker, businessman, mathematician, historian, physician, principal,
        assistant, administrator, researcher, student, welder, sailor, machinist, personal trainer, trainer,
        interior designer, fashion designer, photojournalist, director, producer, counselor, optometrist,
        technician, marketer, entrepreneur, paralegal, teller, bank teller, realtor, mason, roofer, locksmith,
        jeweler, florist, copywriter, computer programmer, firewoman, salesclerk, policewoman""", "person"),
    _class("school subject", "school subjects", """
        mathematics, history, geography, english, science, art, music, physics, chemistry, biology, math, maths,
        physical education, pe, p.e, computer science, literature, french, spanish, german, economics, algebra,
        geometry, religion, religious education, religious studies, philosophy, drama, social studies, latin,
        reading, writing, psychology, calculus, health, computing, sociology, english literature, language arts,
        civics, statistics, technology, politics, business, business studies, ict, it, trigonometry, grammar,
        spelling, foreign language, foreign languages, languages, home economics, environmental science, law,
        astronomy, theatre, theater, dance, design and technology, engineering, astronomy, arithmetic, gym,
        government, political science, world history, earth science, english language, food technology,
        information technology, health education, visual arts, photography, media studies, language, social
        science, american history""", "study", False),
    _class("spice", "herbs or spices", """
        pepper, salt, cinnamon, ginger, garlic, basil, oregano, thyme, rosemary, parsley, mint, cumin, paprika,
        turmeric, nutmeg, clove, cloves, cardamom, coriander, cilantro, saffron, vanilla, chili, chilli, chili
        powder, curry, curry powder, dill, sage, bay leaf, fennel, black pepper, cayenne, cayenne pepper,
        mustard, anise, star anise, tarragon, chives, marjoram, onion powder, garlic powder, allspice, caraway,
        sesame, lavender, lemongrass, red pepper, white pepper, fenugreek, chive, turmeric powder, sumac, mace,
        cumin seed, peppermint, spearmint, chamomile, red pepper flakes, wasabi, horseradish, bay leaves,
        coriander seed, ginger powder, lemon balm, sea salt, garam masala, poppy seed""", "food", False),
    _class("kitchen utensil", "things found in a kitchen", """
        knife, fork, spoon, plate, bowl, cup, pan, pot, stove, oven, fridge, refrigerator, sink, table, chair,
        glass, kettle, toaster, microwave, blender, dishwasher, freezer, mug, whisk, spatula, ladle, cutting
        board, chopping board, grater, peeler, frying pan, saucepan, colander, tongs, rolling pin, can opener,
        strainer, mixer, counter, cupboard, cabinet, towel, dish, napkin, salt, sugar, flour, food, water, dish
        towel, coffee maker, tray, jar, apron, pepper, bread, milk, egg, butter, corkscrew, bottle opener,
        scissors, measuring cup, baking sheet, measuring spoon, sponge, dish soap, soap, trash can, garbage can,
        cheese, fruit, vegetable, oil, spice, faucet, tap, drawer, shelf, cooker, rice cooker, pressure cooker,
        coffee machine, tablecloth, teapot, pitcher, jug, cooking pot, bottle, juicer, food processor, mixing
        bowl, wooden spoon, teaspoon, tablespoon, window, door, skillet, chopsticks, plates, tupperware, tea,
        coffee, lid, sieve, wok, timer, scale, silverware, cutlery, apple, paper towel, microwave oven, stool,
        hood, utensil, countertop, pepper shaker, salt shaker""", "object"),
    _class("weather", "kinds of weather", """
        rain, snow, sun, wind, storm, fog, hail, thunder, lightning, cloud, sunshine, sunny, rainy, cloudy,
        windy, snowy, foggy, stormy, hot, cold, warm, cool, humid, dry, wet, mist, misty, drizzle, thunderstorm,
        tornado, hurricane, blizzard, frost, sleet, icy, ice, freezing, mild, overcast, heat, heat wave,
        heatwave, shower, breeze, breezy, chilly, clear, hailstorm, typhoon, cyclone, snowstorm, rainstorm,
        drought, monsoon, partly cloudy, haze, hazy, dust storm, sandstorm, gale, rainfall, snowfall, flood,
        clear sky, frosty, tropical storm, squall""", "nature", False),
)  # fmt: skip

CLASSES: dict[str, Class] = {row.plural: row for row in _ROWS}
