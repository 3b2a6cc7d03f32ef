#!/usr/bin/env bash
# pydantic 2.14.4: a KeyboardInterrupt that is raised while a @model_serializer runs does not leave model_dump() as a
# KeyboardInterrupt. It becomes a PydanticSerializationError, an ordinary Exception.
#
# Guess before the run: BaseException passes through, as it does through json.dumps and through a validator.
# Seen: the validator lets it through, the serializer does not. A program that is stopped by Ctrl-C while a library
# serialises its settings ends with a traceback and code 1 instead of 130.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pydantic==2.14.4
"$folder/venv/bin/python" - <<'PYTHON'
import json

import pydantic
from pydantic import BaseModel, field_validator, model_serializer


class Serialised(BaseModel):
    @model_serializer
    def _plain(self):
        raise KeyboardInterrupt


class Validated(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _checked(cls, value):
        raise KeyboardInterrupt


def raised(call):
    try:
        call()
    except BaseException as error:
        return type(error)


def interrupted(value):
    raise KeyboardInterrupt


found = {
    "json.dumps": raised(lambda: json.dumps(object(), default=interrupted)),
    "validation": raised(lambda: Validated(number=1)),
    "serialisation": raised(lambda: Serialised().model_dump()),
}
print(pydantic.VERSION, {name: kind.__name__ for name, kind in found.items()})
assert found["json.dumps"] is found["validation"] is KeyboardInterrupt
assert found["serialisation"].__name__ == "PydanticSerializationError"
assert issubclass(found["serialisation"], Exception)
PYTHON
