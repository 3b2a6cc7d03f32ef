"""Base of all settings: described fields, unknown keys refused, values frozen, errors of one line."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from salmu.data.errors import UserError
from salmu.data.private import has_credentials, without_credentials
from salmu.data.suggestions import did_you_mean


class Hidden(ValueError):
    """Why a value is refused that may be a secret, so that no message shows it."""


class Settings(BaseModel):
    """A settings model. Numbers are finite. A field with `json_schema_extra=NOT_IN_FINGERPRINT` may change without
    making any output stale."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _no_credentials(cls, value: Any) -> Any:
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and has_credentials(text):
                raise ValueError(
                    "settings are kept and published, so a URL here must not contain a user, password or query; put it "
                    "into an environment variable"
                )
        return value

    def fingerprint(self) -> dict[str, Any]:
        """The values that decide the bytes of the output."""
        fields = type(self).model_fields
        left_out = {name for name, field in fields.items() if field.json_schema_extra == NOT_IN_FINGERPRINT}
        return self.model_dump(mode="json", exclude=left_out)


NOT_IN_FINGERPRINT = {"affects_output": False}


class StageSettings(Settings):
    """What every stage has."""

    seed: int = Field(0, ge=0, description="Run seed; the profile's top-level seed unless given here.")


def validate(model: type[BaseModel], values: Any, where: str) -> BaseModel:
    """The values as a settings model. Raises UserError of one line that names the place, the key and the remedy."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: " + "; ".join(_line(model, problem) for problem in error.errors()[:3])) from None


def _line(model: type[BaseModel], problem: dict) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        message = problem["msg"].removeprefix("Value error, ")
        told = f"{key}: {message[:1].lower()}{message[1:]}"
        if isinstance(problem.get("ctx", {}).get("error"), Hidden):
            return told
        return without_credentials(f"{told}, got {problem['input']!r}")[:300]  # cut after, not within a secret
    for part in problem["loc"][:-1]:
        field = model.model_fields.get(str(part))
        model = (
            field.annotation
            if field and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            else model
        )
    close = did_you_mean(problem["loc"][-1], model.model_fields)
    return f"unknown key {key!r}{close or '; known here: ' + ', '.join(sorted(model.model_fields))}"
