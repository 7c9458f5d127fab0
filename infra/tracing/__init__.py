"""OpenTelemetry traces: from a command through the log, the fold and fan-out to the sessions that are told (ADR 0050).

Nothing of it is imported where it is switched off.
"""
