"""Attacks: what somebody who holds an unlearned model, and perhaps more, can bring back of what it was to forget."""
