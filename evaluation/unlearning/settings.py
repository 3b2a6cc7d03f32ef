"""The settings of the unlearning methods, and the spaces in which a tuning searches them."""

from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from salmu.data.settings import NOT_IN_FINGERPRINT, StageSettings

SPLITS = {"forget": "forget", "retain": "retain_synth"}  # what a method may see, and the split that it stands for


EDGE, FURTHER = 1 / 10, 1 / 3  # shares of a space: how near to an end counts as its edge; how far a search goes on


class Between(NamedTuple):
    """A search space: numbers from `low` to `high`, evenly on a logarithmic scale."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def beyond(self, value: float) -> "Between":
        """This space, widened by a third of its width past the end that `value` lies at, if it lies at one."""
        width = self.high / self.low
        if value >= self.high / width**EDGE:
            return Between(self.low, float(f"{self.high * width**FURTHER:.3g}"))
        if value <= self.low * width**EDGE:
            return Between(float(f"{self.low / width**FURTHER:.3g}"), self.high)
        return self

    def at(self, place: float) -> float:
        """The value at a place in [0, 1), to three digits."""
        return float(f"{self.low * (self.high / self.low) ** place:.3g}")

    def near(self, value: float, place: float) -> float:
        """A number at most a sixth of the space away from `value`, within the space, for a place in [0, 1)."""
        moved = value * (self.high / self.low) ** ((2 * place - 1) / 6)
        return float(f"{min(max(moved, self.low), self.high):.3g}")


class OneOf(NamedTuple):
    """A search space: these values, equally likely."""

    values: tuple

    @property
    def ends(self) -> tuple[Any, Any]:
        return self.values[0], self.values[-1]

    def beyond(self, value: Any) -> "OneOf":
        """This space; where `value` is the number at an end of it, with one more past that end, as far from it as its
        neighbour on the other side, by ratio."""
        for values, order in ((self.values, 1), (self.values[::-1], -1)):
            if len(values) > 1 and value == values[-1] and all(_on_a_scale(number) for number in values[-2:]):
                further = values[-1] * values[-1] / values[-2]
                further = round(further) if all(isinstance(number, int) for number in values) else further
                if further and further not in values:
                    return OneOf((*values, further)[::order])
        return self

    def at(self, place: float) -> Any:
        return self.values[int(place * len(self.values))]

    def near(self, value: Any, place: float) -> Any:
        """A value beside `value`, for a place in [0, 1); any, where it is not one of them."""
        if value not in self.values:
            return self.at(place)
        own = self.values.index(value)
        beside = [*self.values[max(0, own - 1) : own], *self.values[own + 1 : own + 2]] or [value]
        return beside[int(place * len(beside))]


def _on_a_scale(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


class MethodSettings(StageSettings):
    """What every method has; its own knobs are added by a subclass."""

    budget: float = Field(
        5.0,
        gt=0,
        le=1000,
        description="Pairs seen, as multiples of the forget set: 1 is as many pairs as it has, of each kind that the "
        "method sees. A pair counts each time that the changing model encodes it.",
    )
    batch_size: int = Field(
        32, ge=4, description="Most pairs of a kind in a step; the budget is shared evenly by the steps."
    )
    retain_scenes: int = Field(
        0,
        ge=0,
        description="Procedural scenes and everyday portraits, of those that the start model was trained on and in the "
        "same shares, added to the retain pairs: a second, declared source for models of this project, whose general "
        "knowledge comes from them. No more are added than the model was trained on; without its training.json, scenes "
        "are keyed by the method's seed.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: the towers compute under autocast; weights, embeddings and losses stay float32."
    )
    device: str = Field("cpu", description="Where torch runs: cpu, cuda, cuda:1 …")
    threads: int = Field(1, ge=1, description="Threads of torch; the last bits of the weights depend on it.")

    def not_default(self) -> list[str]:
        """Names of the settings that decide the output and differ from the method's defaults."""
        fields = type(self).model_fields
        return [name for name in self.fingerprint() if getattr(self, name) != fields[name].default]


class GradientSettings(MethodSettings):
    """What every gradient method has. The gradient's norm is clipped at 1."""

    learning_rate: float = Field(
        gt=0, description="Peak learning rate of AdamW, reached after the warm-up; falls to 0 by a cosine."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    optimiser: Literal["adamw", "muon"] = Field(
        "adamw",
        description="muon: the matrices and kernels inside the towers learn by Muon (Jordan et al. 2024), with steps "
        "of AdamW's size; all else by AdamW.",
    )
    epsilon: float = Field(
        1e-6,
        gt=0,
        description="Of AdamW. A larger one lets weights with small gradients move less, such as the embeddings of "
        "words that a step does not hold.",
    )
    rank: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Learn a low-rank change of each matrix and kernel (LoRA), and write it beside the model, as "
        "edit.safetensors; salmu merge puts it into the start model. It wants a larger learning rate. null: all "
        "weights change.",
    )
    warm_up: float = Field(0.05, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    keep_at: tuple[float, ...] = Field(
        (), description="Budgets below the full one at which the model is written too, into checkpoints/<budget>x/."
    )
    checkpoint_every: int = Field(
        250,
        ge=1,
        json_schema_extra=NOT_IN_FINGERPRINT,
        description="Steps between checkpoints, from which a killed run continues, with the same bytes.",
    )

    @model_validator(mode="after")
    def _kept_below_the_budget(self) -> "GradientSettings":
        if any(not 0 < budget < self.budget for budget in self.keep_at):
            raise ValueError(f"keep_at must be between 0 and the budget, {self.budget:g}")
        return self

    @model_validator(mode="after")
    def _low_rank_by_adamw(self) -> "GradientSettings":
        if self.rank and self.optimiser != "adamw":
            raise ValueError("rank needs optimiser adamw")
        return self


class StoppableSettings(GradientSettings):
    """For losses on forget pairs with their own captions: the cosine that they push down says when to stop."""

    stop_at_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="End before a step whose forget pairs have this mean cosine or less; null spends the whole budget.",
    )
