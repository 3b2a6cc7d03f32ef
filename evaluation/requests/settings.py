"""How erasure requests are worked."""

from pydantic import Field, model_validator

from salmu.data.settings import StageSettings

METHOD = "as_retrained"
# For requests of a few people: a method's own defaults are those of a benchmark's whole forget set. What the person or
# the run sets stands above these.
FOR_REQUESTS = {
    "as_retrained": {
        "budget": 10.0,
        "strangers": 150,
        "others": 500,
        "scenes": 500,
        "retain_scenes": 500,
        "most_a_step": 2,
        "learning_rate": 8e-4,
        "pull_back": 0.0,
        "forgetting": 1.0,
        "hold": 6.0,
        "hold_retain": 4.0,
    }
}
BUDGET = 5.0  # of the other methods


class ForgetSettings(StageSettings):
    """What `salmu forget` and the deployment forget/requests are told."""

    method: str = Field(METHOD, description="Unlearning method, one of salmu methods.")
    budget: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Pairs seen for each request, as multiples of its own pairs. Default: 10 for as_retrained, else 5.",
    )
    pairs: int | None = Field(None, ge=1, description="The budget as a number of pairs instead.")
    seconds: float | None = Field(
        None,
        gt=0,
        description="The budget as seconds of the method instead: a short trial tells how many pairs they allow, and "
        "that number is kept, so that a killed request ends with the same bytes.",
    )
    batch: bool = Field(False, description="Work all requests of the file together, in one unlearning.")
    most: int = Field(100, ge=1, description="Most requests at once; a file with more is refused.")
    retain: int = Field(2000, ge=1, description="Most pairs to be kept that a method is given, drawn by key.")
    gallery: int = Field(
        2000, ge=10, description="Pairs among which evidence ranks; drawn once, the same for all requests."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> "ForgetSettings":
        if sum(value is not None for value in (self.budget, self.pairs, self.seconds)) > 1:
            raise ValueError("give one of budget, pairs and seconds")
        return self
