"""Who chats in the live demo, and what they say."""

from __future__ import annotations

NAMES = [
    "Mira",
    "Tom",
    "Leila",
    "Jonas",
    "Aiko",
    "Pavel",
    "Zola",
    "Hugo",
    "Nadia",
    "Felix",
    "Ines",
    "Kofi",
    "Vera",
    "Milan",
    "Yara",
    "Oskar",
    "Tilda",
    "Ravi",
    "Greta",
    "Samir",
]

TITLES = ("Tea kitchen", "Release party", "Lost and found", "Sunday hike", "Quiet corner", "Chess by mail")

OPENERS = (
    "Has anybody seen the good scissors?",
    "The kettle is on. Who wants a cup?",
    "I counted the herons by the canal again: four today.",
    "Is the meeting at three or at half past?",
    "My train stands in a field. There are cows.",
    "Which of you left an umbrella here? It is green and rather proud.",
    "I finally understood the last chapter. I think.",
    "Does somebody have a charger that fits an old camera?",
    "The bakery has the round ones with sesame today.",
    "It smells like snow.",
    "I need a word with six letters for 'patient'.",
    "We are out of coffee. This is not a drill.",
    "Who feeds the fish next week?",
    "The lift works again!",
    "I repaired the bicycle. There are two screws left over.",
    "What was the name of that film with the lighthouse?",
    "Shall we walk or take the tram?",
    "The printer wants cyan. It never prints anything cyan.",
)

ANSWERS = (
    "Yes, please.",
    "Not me.",
    "Half past, I think.",
    "Save one for me!",
    "I will have a look in a minute.",
    "Ask again after lunch.",
    "That was yesterday.",
    "Same here.",
    "Good question. I shall pretend to know.",
    "On the window sill, where it always is.",
    "I can do that.",
    "Let us vote: I am for it.",
    "Count me in.",
    "Ha! I knew it.",
    "No, but now I want to.",
    "Tell me more.",
    "I wrote it down somewhere.",
    "Fine with me.",
)

TO_A_PERSON = (
    "Good to have you here!",
    "I was just thinking the same.",
    "Right. And what do the others say?",
    "We are only scripted, but we try.",
    "Noted, as an immutable event even.",
    "Would you write that once more, for the log?",
)
"""Answers to somebody who is not of the cast."""
