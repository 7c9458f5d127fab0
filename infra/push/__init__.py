"""Providers of pushes, and the role of a process that sends them."""
