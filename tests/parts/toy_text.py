"""Small multilingual toy data that a tiny, randomly initialised model learns in seconds.

Every text is a template filled in with people, things and times. The label follows from the thing alone, all else is
noise that is the same for every label, so a model that scores well has read the right word.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

CHOOSING_LABELS = ("animal", "fruit", "weather")
DECIDING_LABELS = CHOOSING_LABELS


@dataclass(frozen=True)
class Lexicon:
    """The words of one language: `templates` hold {who}, {thing} and {when}; `things` has one entry a label."""

    templates: tuple[str, ...]
    who: tuple[str, ...]
    when: tuple[str, ...]
    things: dict[str, tuple[str, ...]]


def _things(animal: str, fruit: str, weather: str) -> dict[str, tuple[str, ...]]:
    return {
        label: tuple(words.split(", ")) for label, words in zip(CHOOSING_LABELS, (animal, fruit, weather), strict=True)
    }


ENGLISH = Lexicon(
    templates=("{who} saw {thing} {when}.", "{when}, {who} drew {thing}.", "{who} tells us about {thing} {when}!"),
    who=("Anna", "my brother", "the old man", "our teacher", "a child"),
    when=("this morning", "yesterday", "in the garden", "on the way home", "at school"),
    things=_things(
        "a dog, a cat, two horses, a wolf",
        "an apple, a banana, two lemons, sweet cherries",
        "a storm, heavy rain, thick fog, deep snow",
    ),
)
GERMAN = Lexicon(
    templates=("{who} sah {when} {thing}.", "{who} malte {thing} {when}.", "{who} beschreibt {when} {thing}!"),
    who=("Jürgen", "meine Schwester", "der alte Mann", "unsere Lehrerin", "ein Kind"),
    when=("heute früh", "gestern", "im Garten", "auf dem Heimweg", "in der Schule"),
    things=_things(
        "einen Hund, eine Katze, zwei Pferde, einen Wolf",
        "einen Apfel, eine Banane, zwei Zitronen, süße Kirschen",
        "einen Sturm, starken Regen, dichten Nebel, tiefen Schnee",
    ),
)
FRENCH = Lexicon(
    templates=("{who} a vu {thing} {when}.", "{when}, {who} dessine {thing}.", "{who} décrit {thing} {when} !"),
    who=("Hélène", "mon frère", "le vieil homme", "notre professeur", "un enfant"),
    when=("ce matin", "hier", "dans le jardin", "sur le chemin", "à l'école"),
    things=_things(
        "un chien, un chat, deux chevaux, un loup",
        "une pomme, une banane, deux citrons, des cerises mûres",
        "un orage, une forte pluie, du brouillard, de la neige",
    ),
)
SPANISH = Lexicon(
    templates=("{who} vio {thing} {when}.", "{when}, {who} dibuja {thing}.", "¡{who} describe {thing} {when}!"),
    who=("Íñigo", "mi hermana", "el anciano", "nuestra maestra", "una niña"),
    when=("esta mañana", "ayer", "en el jardín", "de camino a casa", "en la escuela"),
    things=_things(
        "un perro, un gato, dos caballos, un lobo",
        "una manzana, un plátano, dos limones, cerezas dulces",
        "una tormenta, mucha lluvia, niebla espesa, mucha nieve",
    ),
)
TURKISH = Lexicon(
    templates=("{who} {when} {thing} gördü.", "{when} {who} {thing} çizdi.", "{who} {when} {thing} anlatıyor!"),
    who=("Ayşe", "kardeşim", "yaşlı adam", "öğretmenimiz", "bir çocuk"),
    when=("bu sabah", "dün", "bahçede", "eve giderken", "okulda"),
    things=_things(
        "bir köpek, bir kedi, iki tavşan, bir kurt",
        "bir elma, bir muz, iki portakal, tatlı kiraz",
        "bir fırtına, şiddetli yağmur, yoğun sis, derin kar",
    ),
)
LEXICONS = {"english": (ENGLISH,), "german": (GERMAN,), "french": (FRENCH,), "other": (SPANISH, TURKISH)}

# Running text, so that a tokenizer learns more than the toy templates; 'other' brings scripts besides Latin.
PROSE: dict[str, tuple[str, ...]] = {
    "english": (
        "The service keeps the checkpoint with the best result on texts that it has not seen before.",
        "Nobody expected the parcel to arrive on time, yet there it was, right in front of the door.",
        "I would not recommend this phone: the battery is empty after three hours and support never answers.",
        "What a wonderful evening! The food was excellent and the people who served us were very kind.",
        "Please cancel my order and send the money back to my account within two weeks.",
        "The committee will meet again on 14 March 2024 to discuss prices, wages and public transport.",
    ),
    "german": (
        "Der Dienst behält den besten Stand nach Texten, die er zuvor nicht gesehen hat.",
        "Niemand hatte erwartet, dass das Paket pünktlich ankommt, doch es lag schon vor der Tür.",
        "Dieses Gerät würde ich nicht empfehlen: Der Akku ist nach drei Stunden leer und keiner antwortet.",
        "Was für ein schöner Abend! Das Essen war großartig und die Bedienung sehr freundlich.",
        "Bitte stornieren Sie meine Bestellung und überweisen Sie den Betrag innerhalb von zwei Wochen.",
        "Der Ausschuss tagt am 14. März 2024 über Preise, Löhne und den öffentlichen Verkehr.",
    ),
    "french": (
        "Le service garde le meilleur état d'après des textes qu'il n'a jamais vus auparavant.",
        "Personne ne pensait que le colis arriverait à temps, et pourtant il était devant la porte.",
        "Je ne conseille pas ce téléphone : la batterie est vide après trois heures et personne ne répond.",
        "Quelle belle soirée ! Le repas était excellent et l'accueil vraiment très chaleureux.",
        "Veuillez annuler ma commande et me rembourser sur mon compte d'ici deux semaines.",
        "La commission se réunira le 14 mars 2024 pour parler des prix, des salaires et des transports.",
    ),
    "other": (
        "El servicio guarda el mejor estado según textos que nunca ha visto antes.",
        "Nadie esperaba que el paquete llegara a tiempo, pero ya estaba delante de la puerta.",
        "Bu telefonu önermiyorum: pil üç saatte bitiyor ve kimse sorulara cevap vermiyor.",
        "Harika bir akşamdı! Yemekler çok güzeldi ve çalışanlar bize çok iyi davrandı.",
        "Какой прекрасный вечер! Еда была отличной, а люди очень добрыми.",
        "Τι όμορφη βραδιά! Το φαγητό ήταν εξαιρετικό και οι άνθρωποι ευγενικοί.",
        "يا لها من أمسية جميلة! كان الطعام ممتازا وكان الناس لطفاء.",
        "多么美好的夜晚!食物很好,人们也很友善。",
    ),
}


def choosing(rows: int, seed: int = 0, language: str = "english") -> tuple[list[str], list[str]]:
    """`rows` different texts with exactly one label each, the labels as even as can be.

    `language` is english, german, french or other (Spanish and Turkish mixed). The same arguments give the same rows.
    Raises ValueError where the word lists have too few different texts (900; 'other' has 1,800).
    """
    rng = random.Random(seed)
    labels = [CHOOSING_LABELS[row % len(CHOOSING_LABELS)] for row in range(rows)]
    rng.shuffle(labels)
    supplies = {label: _shuffled(_choosing_texts(language, label), rng) for label in CHOOSING_LABELS}
    return [_next(supplies[label]) for label in labels], labels


def deciding(rows: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """`rows` different English texts with none to all three of the labels each, every number equally often.

    The same arguments give the same rows. Raises ValueError where the word lists have too few different texts (1,200:
    those with no label run out first).
    """
    rng = random.Random(seed)
    sizes = [row % (len(DECIDING_LABELS) + 1) for row in range(rows)]
    rng.shuffle(sizes)
    labels = [rng.choice(list(combinations(DECIDING_LABELS, size))) for size in sizes]
    supplies = {chosen: _shuffled(_deciding_texts(chosen), rng) for chosen in sorted(set(labels))}
    return [_next(supplies[chosen]) for chosen in labels], [list(chosen) for chosen in labels]


def columns(texts: Sequence[str], labels: Sequence[str] | Sequence[list[str]]) -> dict[str, list[Any]]:
    """One split as the service takes it on the wire: {"Text": [...], "Labels": [...]}."""
    return {"Text": list(texts), "Labels": list(labels)}


def sentences(language: str) -> list[str]:
    """What a tokenizer of that language is trained on: the prose and sixty of the toy texts."""
    return [*PROSE[language], *choosing(60, seed=1, language=language)[0]]


def _choosing_texts(language: str, label: str) -> list[str]:
    return [text for lexicon in LEXICONS[language] for text in _filled(lexicon, lexicon.things[label])]


def _deciding_texts(labels: Sequence[str]) -> list[str]:
    things = product(*(ENGLISH.things[label] for label in labels))
    nothing = ("nothing", "nothing new", "an empty box", "some old toys")
    return _filled(ENGLISH, [" and ".join(chosen) for chosen in things] if labels else nothing)


def _filled(lexicon: Lexicon, things: Sequence[str]) -> list[str]:
    filled = product(lexicon.templates, lexicon.who, lexicon.when, things)
    texts = (template.format(who=who, when=when, thing=thing) for template, who, when, thing in filled)
    return [text[0].upper() + text[1:] for text in texts]


def _shuffled(texts: list[str], rng: random.Random) -> list[str]:
    rng.shuffle(texts)
    return texts


def _next(supply: list[str]) -> str:
    if not supply:
        raise ValueError("the word lists have too few different texts: ask for fewer rows")
    return supply.pop()
