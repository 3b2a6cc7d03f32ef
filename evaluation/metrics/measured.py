"""What the files of results of the opt-in tests have in common: numbers, intervals, and parts that may grow."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    """An object of such a file; keys beyond those named are let through, so that older versions read newer files."""

    model_config = ConfigDict(extra="allow", strict=True)


class Share(Part):
    """A mean over questions, with its 95 % interval over people."""

    value: Number | None
    interval: Bounds | None = None
    chance: Number | None = None
