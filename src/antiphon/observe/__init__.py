"""Observers: what is told of requests to logs, metrics and traces. Figures only, never content, never once a delta."""
