"""A model measured on a dataset: the ten published metrics and what goes beyond them."""
