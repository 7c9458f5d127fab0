"""Pushes to people who are away: notifications come from the fold, are decided about here, and go to providers.

A notification is a reference, one for each message. It is in the log before the message is in any view, so a crash
loses none; what is made of it is decided when it is sent, from what is true then.
"""
