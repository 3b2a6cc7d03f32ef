"""A captioner on the frozen image tower: what does a model that sits on top say of a portrait?"""
