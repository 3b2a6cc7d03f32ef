"""Settings of the published folder."""

import re
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from salmu.data.readers import SPLITS
from salmu.data.settings import Hidden, Settings


class PublishSettings(Settings):
    """The published folder."""

    name: str = Field("SALMU", min_length=1, description="Name of the dataset on its card.")
    version: str = Field("1.0.0", pattern=r"^\d+\.\d+\.\d+$", description="Version of the dataset, MAJOR.MINOR.PATCH.")
    released: date | None = Field(None, description="Day of publication, YYYY-MM-DD, for the citation and Croissant.")
    url: str = Field(
        "https://arxiv.org/abs/2603.26316",
        description="Page of the dataset, for Croissant and the citation; by default that of the benchmark it follows.",
    )
    creator: str = Field("The SALMU authors", description="Who made the dataset, for the card and Croissant.")
    licence: str = Field("cc-by-4.0", description="Licence of the dataset, as the Hugging Face Hub names it, or other.")
    licence_name: str | None = Field(None, description="Name of a licence that the hub does not know (licence: other).")
    licence_link: str | None = Field(None, description="Its text, by URL (licence: other).")
    gating: Literal["none", "auto", "manual"] = Field(
        "none",
        description="Who gets the files from the hub: everybody (none), who agrees (auto), whom you admit (manual).",
    )
    gated_prompt: str | None = Field(None, description="Text that the hub shows to those who ask for a gated dataset.")
    gated_fields: dict[str, Literal["text", "checkbox", "country", "date_picker"]] = Field(
        {}, description="Fields of the form for those who ask: each question, and the kind of its answer."
    )
    scheme: Literal["facts", "published"] = Field(
        "facts",
        description=(
            "Which split scheme names the files: facts (all pairs of one persona and attribute are on one side) or "
            "published (pairs). Both are columns in any case, and the card has configurations of the other one."
        ),
    )
    longest_side: int | None = Field(
        512,
        ge=16,
        description=(
            "Larger images are made smaller to this many pixels, as in the published set; null keeps all as generated, "
            "byte for byte."
        ),
    )
    jpeg_quality: int = Field(92, ge=1, le=95, description="JPEG quality of the images that are made smaller.")
    rows_per_file: int = Field(5000, ge=1, description="Rows of a Parquet file; it ends earlier at 450 MB.")
    samples_per_tar: int = Field(1000, ge=1, description="Samples of a tar; a loader needs a tar for each worker.")
    clip_benchmark: tuple[Literal[*SPLITS], ...] = Field(
        (), description="Splits whose tars are written again as CLIP_benchmark reads them; doubles their size."
    )

    @field_validator("url", "licence_link")
    @classmethod
    def _web_address(cls, address: str | None) -> str | None:
        try:
            url = urlsplit(address or "https://none")
            known = url.scheme in ("http", "https") and url.hostname
        except ValueError:
            known = False
        if not known or re.search(r"[^\x21-\x7e]|[<>\"{}|\\^`]", address or ""):  # what RFC 3986 leaves out
            raise Hidden("must be the address of a web page, http:// or https://, without blanks; write others as %XX")
        return address

    @model_validator(mode="after")
    def _belong_together(self) -> "PublishSettings":
        if (self.licence == "other") != bool(self.licence_name and self.licence_link):
            raise ValueError("licence other goes with licence_name and licence_link, and they with it")
        if self.gating == "none" and (self.gated_prompt or self.gated_fields):
            raise ValueError("gated_prompt and gated_fields need gating auto or manual")
        return self
