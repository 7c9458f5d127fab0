"""Redis: what gateways and workers tell each other, who is online, and copies of what is read often.

Nothing in it is the truth. Whoever loses it goes on, slower, and fills it again.
"""
