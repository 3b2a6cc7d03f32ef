"""Propagation: what an image generator that is built on a pair's towers draws once the text tower is exchanged."""
