"""The clean level: the cosine that a model which never saw the forget pairs would give them, estimated without one."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from salmu.data.errors import UserError
from salmu.evaluation.metrics.matching import derangement
from salmu.evaluation.unlearning.pair_streams import embeddings
from salmu.evaluation.unlearning.settings import GradientSettings
from salmu.model_training.loading.clip import load_model

ROWS = 512  # most pairs of a kind that another CLIP looks at


class LevelSettings(GradientSettings):
    clean_level: Literal["unrelated", "shuffled"] | float = Field(
        "unrelated",
        description="Cosine that a model which never saw the pairs would give them. unrelated: mean of forget captions "
        "with the retain images that the method is given; shuffled: mean of forget captions with other people's forget "
        "images, an upper bound; or a number.",
    )
    level_model: str | None = Field(
        None,
        description="Another CLIP (folder or open_clip name) that never saw the pairs: its cosines of the forget "
        "pairs, mapped to this model's scale by regression on the retain pairs, are the clean level instead.",
    )


def clean_level(work, settings: LevelSettings) -> tuple[float, str]:
    """The cosine that a model which never saw the forget pairs would give them, estimated without such a model, and
    how. Raises UserError if the other CLIP cannot be loaded, or where people are compared and there is one only."""
    if isinstance(settings.clean_level, float):
        return settings.clean_level, "given"
    images, texts, _ = work.forget.before
    if settings.level_model:
        return _by_other_model(work, settings), f"regression on retain pairs, from {Path(settings.level_model).name}"
    if settings.clean_level == "unrelated":
        return float(work.retain.before[0].mean(0) @ texts.mean(0)), "forget captions with retain images"
    people = np.array(work.forget.pool.columns["identity_id"])[np.unique(work.forget.order)]
    different = torch.from_numpy(people[:, None] != people[None, :]).to(images.device)
    if not different.any():
        raise UserError(f"{work.method.name}: it compares forget pairs of different people, and all are of one person")
    return float((images @ texts.T)[different].mean()), "forget captions with forget images of others"


def clean_level_and_figures(work, settings: LevelSettings) -> tuple[float, dict[str, float | str]]:
    """The clean level, and what the record says about it."""
    level, how = clean_level(work, settings)
    return level, {"clean_level": round(level, 4), "clean_level_by": how}


@torch.no_grad()
def _by_other_model(work, settings: LevelSettings) -> float:
    """Least squares on retain pairs and as many mismatched ones: this model's cosine from that of another CLIP."""
    other = load_model(settings.level_model, str(work.device))
    cosines = {}
    for part in ("retain", "forget"):
        stream = getattr(work, part)
        rows = np.unique(stream.order)[:ROWS]
        pool = stream.pool.seen_by(other)
        images, texts = embeddings(other.network.eval(), pool.pixels(rows), pool.tokens[rows], settings.precision)
        mine = [kind[: len(rows)] for kind in stream.before[:2]]
        partner = torch.from_numpy(derangement(len(rows), settings.seed, "clean level", part))
        cosines[part] = [
            torch.cat([(one * two).sum(1), (one * two[partner]).sum(1)]).cpu().numpy()
            for one, two in ((images, texts), mine)
        ]
    theirs, ours = cosines["retain"]
    slope, offset = np.polyfit(theirs, ours, 1)
    own = cosines["forget"][0][: len(cosines["forget"][0]) // 2]
    return float(slope * own.mean() + offset)
