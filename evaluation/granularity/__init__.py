"""Granularity: what a model still knows of a fact coarsely, and what it knows of it exactly."""
