"""The settings as parameters of a flow: the UI draws a form of them, and the server refuses a bad value before a run
starts."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from salmu.data.settings import Settings
from salmu.flows.names import profiles
from salmu.flows.settings import SECTIONS, RunSettings

Profile = Annotated[Literal[*profiles()], Field(title="name")] | Annotated[str, Field(title="file")]
Sections = create_model(
    "Sections",
    __base__=Settings,
    __doc__="Sections of a run's settings; one that is None is taken from the profile or the run.",
    seed=(int | None, Field(None, ge=0, description=RunSettings.model_fields["seed"].description)),
    **{
        name: (field.annotation | None, Field(None, description=field.description))
        for name, field in RunSettings.model_fields.items()
        if name in SECTIONS or name == "drill"
    },
)


def filled_in(overrides: dict[str, Any] | None, form: Settings | None, section: str = "") -> dict[str, Any]:
    """Overrides {"section.key": value} of what a form of the section, or of the whole run, names; the given overrides
    stand above them."""
    return dict(_named(form, section and f"{section}.") if form else ()) | (overrides or {})


def _named(form: BaseModel, path: str) -> Iterator[tuple[str, Any]]:
    plain = form.model_dump(mode="json")
    for name in sorted(form.model_fields_set):
        value = getattr(form, name)
        if isinstance(value, BaseModel):
            yield from _named(value, f"{path}{name}.")
        elif value is not None or path:  # a section that is None names nothing
            yield f"{path}{name}", plain[name]
