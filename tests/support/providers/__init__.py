"""Apple's and Google's push services as far as their wire protocols go: real servers on loopback.

What they answer is told by how a device's token begins, see `Moods`. `python -m tests.support.providers` runs both in a
process of their own.
"""
