"""Who there is in the demo, and what they said before anybody looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STARS = ("ana", "ben")
"""Whom the printed address signs in."""

PEOPLE = {"ana": "Ana", "ben": "Ben", "chidi": "Chidi", "daria": "Daria", "emre": "Emre"}
"""Name in the script → display name."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A chat. `lines`: who said what; `reply_to`: line → the line that it answers; `unread`: who has not read how
    many of the newest lines. Without a title it is the direct chat of its two members."""

    name: str
    members: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]
    title: str | None = None
    open: bool = False
    unread: Mapping[str, int] = field(default_factory=dict)
    reply_to: Mapping[int, int] = field(default_factory=dict)


SCENES = (
    Scene(
        "allotment",
        ("daria", "ana", "chidi", "emre"),
        (
            ("daria", "Who has the key to the shed? I am standing in front of it with two trays of tomatoes."),
            ("emre", "I do, sorry. There in ten minutes."),
            ("chidi", "There is a spare one under the third flowerpot."),
            ("daria", "Found it! Emre, stay where you are."),
            ("emre", "Too late, I am on my bicycle now."),
            ("daria", "Then bring the watering can."),
        ),
        title="Allotment 12",
        unread={"ana": 2},
        reply_to={3: 2},
    ),
    Scene(
        "books",
        ("ben", "ana", "chidi", "daria", "emre"),
        (
            ("ben", "Next book: The Summer Book, by Tove Jansson. It is short, so no excuses this time."),
            ("emre", "I made it to page 40 of the last one. Does that count?"),
            ("chidi", "It counts as an excuse."),
            ("ana", "Thursday the 12th at my place? I have chairs for seven."),
            ("daria", "Thursday works."),
            ("chidi", "Works for me too. I bring olives."),
        ),
        title="Reading circle",
        open=True,
        unread={"ben": 3},
        reply_to={4: 3},
    ),
    Scene(
        "lisbon",
        ("ana", "ben", "chidi", "daria"),
        (
            ("ana", "The night train is booked: four beds, one compartment, arriving Friday at 9:10."),
            ("chidi", "Excellent. I found a flat near Graça with a view over half of the city."),
            ("ben", "How many stairs?"),
            ("chidi", "The advertisement does not say. That is usually an answer."),
            ("daria", "I looked it up: 92."),
            ("ben", "I shall travel light."),
            ("ana", "Does everybody have their passport? I ask because of last time."),
            ("ben", "Last time it was in my other coat, as you know very well."),
            ("daria", "Packed mine today."),
        ),
        title="Lisbon in May",
        unread={"ana": 1, "ben": 1},
        reply_to={4: 2, 7: 6},
    ),
    Scene(
        "ben and chidi",
        ("chidi", "ben"),
        (
            ("chidi", "Could you lend me your drill on Saturday?"),
            ("ben", "Sure. It eats fuses, so mind which socket you take."),
        ),
    ),
    Scene(
        "ana and ben",
        ("ana", "ben"),
        (
            ("ana", "Are you coming to the concert tonight?"),
            ("ben", "Yes! When does it start?"),
            ("ana", "Doors at 19:30. The first band is the loud one, so bring something for your ears."),
            ("ben", "Noted. Shall I pick you up at seven?"),
            ("ana", "Perfect. I will be the one with the umbrella."),
            ("ben", "It is not going to rain."),
            ("ana", "You said so last week too."),
        ),
        unread={"ben": 1},
        reply_to={6: 5},
    ),
)
