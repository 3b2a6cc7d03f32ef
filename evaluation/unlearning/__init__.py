"""Unlearning: a registry of methods, one file each, and the runner that gives them data, budget and seeds."""
