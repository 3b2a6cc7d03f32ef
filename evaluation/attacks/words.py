"""The attacks in words, for tables, the glossary and the docs."""

from typing import NamedTuple


class Words(NamedTuple):
    number: str  # what is measured
    needs: str  # what the attacker has beside the model
    above: str  # what it means where the number lies above the reference's


KINDS = {  # the name of an attack is one of these, with _ and a number where there are several of a kind
    "relearning": Words(
        "RetFail of forgotten pairs after a short training on other data; the strongest of several sources, rates and "
        "ranks",
        "a few pairs of other forgotten people, other facts of the same people, or neutral captions",
        "a little training on other data brings forgotten pairs back",
    ),
    "rounding": Words(
        "RetFail with the weights rounded to so many bits", "nothing", "rounding the weights undoes the forgetting"
    ),
    "reattachment": Words(
        "RetFail with the captions as the start model embeds them, mapped linearly into the model's space",
        "the model from before the unlearning, and neutral captions with portraits",
        "the portraits still lie where the old captions point, so only the captions were moved",
    ),
    "few_shot": Words(
        "share of portraits that are nearest to the mean of so many labelled portraits of the same person",
        "so many labelled portraits of each forgotten person",
        "a few labelled portraits find the rest, because the image tower still distinguishes the faces",
    ),
    "name_search": Words(
        "rank of a wholly forgotten person's real name for a portrait, among all names and made ones of the same "
        "country; the mean of 1 / rank",
        "a directory of names",
        "trying many names on a portrait finds the real one",
    ),
    "gradient_membership": Words(
        "area under the ROC curve by which the gradients of a person's pairs tell forgotten people from outsiders, "
        "whom no model was trained on",
        "pairs of portrait and caption of the people in question, and neutral pairs",
        "the model hardly wants to move for the forgotten pairs, as for any that it was trained on",
    ),
}
BELOW = "less is found than in a model that was never shown the pairs, which tells who was removed"


def kind(name: str) -> str:
    """The kind of an attack by its name: "few_shot_3" -> "few_shot"."""
    return next((known for known in KINDS if name == known or name.startswith(f"{known}_")), name)


def in_words(name: str) -> str:
    """ "few_shot_3" -> "few shot 3"."""
    return name.replace("_", " ")
