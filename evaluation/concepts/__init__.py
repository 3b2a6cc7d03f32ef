"""Implicit concepts: styles and affiliations that most captions never name, learnt, unlearnt and asked for."""
