"""The settings of `salmu concepts`."""

from typing import Any

from pydantic import Field, model_validator

from salmu.data.procedural.concepts import looks, names, signs
from salmu.data.settings import StageSettings
from salmu.model_training.settings import PairSettings


class ConceptSettings(StageSettings):
    """Concepts that pictures show and few captions name, in a dataset and a pair of their own (`salmu concepts`)."""

    styles: int = Field(12, ge=4, le=looks.MOST, description="Invented artists, each with a look.")
    affiliations: int = Field(12, ge=4, le=signs.MOST, description="Invented groups, each with a sign.")
    new_subjects: int = Field(
        4, ge=1, le=10, description="Of the 12 subjects of each kind, those that no training picture of a concept has."
    )
    said: int = Field(
        2, ge=1, le=40, description="Pictures of each concept with each other subject whose captions name the concept."
    )
    shown: int = Field(3, ge=1, le=40, description="Those whose captions do not name it.")
    tested: int = Field(
        3, ge=1, le=40, description="Pictures of each concept with each new subject, for measuring only."
    )
    plain: int = Field(200, ge=1, description="Retain pairs: pictures of all subjects without a concept.")
    names: int = Field(
        200,
        ge=2,
        le=names.MOST // 2,
        description="Names among which that of a picture's concept is looked for: those of all concepts of its kind, "
        "and further invented ones, which no caption holds.",
    )
    scenes: int = Field(300, ge=0, description="pair.scenes of the concepts' pair.")
    everyday: int = Field(60, ge=0, description="pair.everyday of the concepts' pair.")
    epochs: int = Field(20, ge=1, description="pair.epochs of the concepts' pair.")
    batch_size: int = Field(32, ge=2, description="pair.batch_size of the concepts' pair.")
    margin: float = Field(
        0.1, ge=0, lt=1, description="Largest difference from Retrained in a mean reciprocal rank that is no failure."
    )

    @model_validator(mode="after")
    def _all_names_fit(self) -> "ConceptSettings":
        if max(self.styles, self.affiliations) > self.names:
            raise ValueError(f"names is {self.names}, but must hold those of all concepts of a kind; raise it")
        return self

    @property
    def drawn_by(self) -> dict[str, Any]:
        """The settings that decide the dataset."""
        return self.model_dump(mode="json", exclude={"names", "scenes", "everyday", "epochs", "batch_size", "margin"})

    def pair(self, run: PairSettings) -> PairSettings:
        """How the concepts' pair is trained: as the run's, at a small size."""
        small = self.model_dump(include={"scenes", "everyday", "epochs", "batch_size"}) | {"retain": ()}
        return run.model_copy(update=small | {"seeds": 1, "retrained": 1, "processes": 1, "monitor": False})
