"""Under which licence each model's weights come, for the card, the provenance and `salmu plan`.

The licence is the one that the weights' own page names; what is not known here is said to be unknown, never guessed."""

from typing import NamedTuple

RESEARCH_ONLY = "non-commercial research only"
UNKNOWN = "unknown: read the model's own page"


class Model(NamedTuple):
    name: str  # hub id, folder name or pack
    revision: str
    licence: str
    use: str  # what it is for here


# a part of the name, lower case -> licence; the first that fits counts
LICENCES = (
    ("embedded", "Apache-2.0, trained by this project on its own drawings"),
    ("buffalo", RESEARCH_ONLY),  # insightface's model packs
    ("antelope", RESEARCH_ONLY),
    ("ip-adapter-faceid", RESEARCH_ONLY),  # trained on insightface's embeddings
    ("ip_adapter", "Apache-2.0"),
    ("stable-diffusion-xl", "CreativeML Open RAIL++-M, with use restrictions"),
    ("stable-diffusion", "CreativeML OpenRAIL-M, with use restrictions"),
    ("realistic_vision", "CreativeML OpenRAIL-M, with use restrictions"),
    ("sd-vae-ft", "MIT"),
    ("laion/clip", "MIT"),
    ("clip-vit-h-14-laion2b", "MIT"),
    ("fairface", "CC-BY-4.0"),
    ("res34_fair", "CC-BY-4.0"),
    ("gemma", "Gemma Terms of Use, with use restrictions"),
)


# the same for sets of pictures that anchors are chosen from
PICTURE_LICENCES = (("sfhq", "MIT"),)


TABLES = (  # name, use, licence of what data/tables/ was built from
    ("GeoNames", "cities, populations", "CC-BY-4.0"),
    ("Faker", "most names and jobs", "MIT"),
    ("libphonenumber", "numbering plans", "Apache-2.0"),
    ("Wikipedia", "shares of blood types (facts)", "CC-BY-SA-4.0"),
)


def pictures(name: str) -> str:
    """The licence of a set of source pictures, by the name of its folder or archive."""
    return next((licence for part, licence in PICTURE_LICENCES if part in name.lower()), "unknown: read its own page")


def model(name: str, revision: str, use: str) -> Model:
    """A model with its licence. `name`: hub id, folder or pack; of a path only the last two parts count."""
    known = "/".join(name.replace("\\", "/").removeprefix("local-dir:").removeprefix("hf-hub:").split("/")[-2:])
    return Model(known, revision, next((licence for part, licence in LICENCES if part in known.lower()), UNKNOWN), use)
