"""Backups of what nothing else can bring back: the embedded log, accounts with their sealing keys, and what operators
have discarded. Read models are folded from the log, so they are in none.

The keys in a backup are wrapped under the master key, which is not in it. Keys that were destroyed are listed. A
restore destroys them again, with those of every later list that it is given, and of all whom the log has leave chats as
erased.
"""
