"""Doors for others: the HTTP API and its page."""
