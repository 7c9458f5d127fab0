"""Generations in one process: folded beside each other, exchanged at one position, paused and dropped."""
