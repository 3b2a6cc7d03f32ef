"""The drawn pairs that a method gets beside those of retain_synth: scenes and everyday portraits on which its start
model was trained.

The start model's training record tells which: seed and numbers; for a model that was unlearned already, its unlearning
record hands them on. A model without either may have met none of the drawn pairs; they are then keyed by the method's
own seed, and the method's record says so."""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmu.evaluation.unlearning.record import RECORD as UNLEARNING
from salmu.evaluation.unlearning.record import read_record
from salmu.model_training.loading.clip import ClipModel
from salmu.model_training.loading.folders import local_folder
from salmu.model_training.record import RECORD, read_training
from salmu.model_training.retain import Pairs, everyday_pair, scene_pair, scene_pairs

Count = Annotated[int, Field(ge=0, le=10**12)]


class Drawn(BaseModel):
    """What the settings in a training record say of the drawn pairs; the other settings are of no account here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    scenes: Count
    everyday: Count = 0


class SceneSource(NamedTuple):
    """Which drawn pairs a method gets."""

    seed: int
    scenes: int | None  # numbers that the start model was trained on; None where nothing tells
    everyday: int
    told_by: str  # for the record of the method

    @property
    def drawn(self) -> dict[str, int] | None:
        """What the record of an unlearned model hands on."""
        if self.scenes is None:
            return None
        return {"seed": self.seed, "scenes": self.scenes, "everyday": self.everyday}

    def pairs(self, count: int, side: int) -> Pairs:
        """`count` of the drawn pairs, or all where there are fewer, images uint8 [n, side, side, 3]: scenes, then
        everyday portraits, in the shares in which the start model had them, the first ones of each."""
        if self.scenes is None:
            return scene_pairs(self.seed, count, side)
        count = min(count, self.scenes + self.everyday)
        portraits = round(count * self.everyday / max(self.scenes + self.everyday, 1))
        drawn = [scene_pair(self.seed, side, index) for index in range(count - portraits)]
        drawn += [everyday_pair(self.seed, side, index) for index in range(portraits)]
        images = np.stack([image for image, _ in drawn]) if drawn else np.empty((0, side, side, 3), np.uint8)
        return Pairs(images, [text for _, text in drawn])


def scene_source(clip: ClipModel, seed: int) -> SceneSource:
    """The drawn pairs of a start model. `seed`: that of the method, used where no record tells.

    Raises UserError if there is a record and it is damaged."""
    folder = local_folder(clip.name)
    if folder and (folder / RECORD).is_file():
        name, told = RECORD, read_training(folder / RECORD).get("settings")
    elif folder and (folder / UNLEARNING).is_file():
        name, told = UNLEARNING, (read_record(folder / UNLEARNING).model_extra or {}).get("drawn")
    else:
        return SceneSource(seed, None, 0, f"the method's seed: the start model has no {RECORD}")
    try:
        drawn = Drawn.model_validate(told)
    except ValidationError:
        return SceneSource(seed, None, 0, f"the method's seed: the start model's {name} tells of no scenes")
    return SceneSource(drawn.seed, drawn.scenes, drawn.everyday, f"the start model's {name}")
