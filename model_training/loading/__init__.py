"""Loads CLIP models that others made, from data alone: no code of theirs runs, and a folder never asks the network."""
