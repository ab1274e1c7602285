"""What stages' reports may hold, checked when they are read back: a matching hash does not make the content valid."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgetl.recipe.fields import Format, Precision

__all__ = ["Fraction", "Named", "Number", "Part", "Runtime", "problem_in"]

Number = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A part of a report: named fields are checked for their type; other fields are allowed and never read."""

    model_config = ConfigDict(extra="allow", strict=True)


class Named(Part):
    """The fields that identify an artifact."""

    file: str
    format: Format
    precision: Precision


class Runtime(Part):
    """The runtime that ran an artifact."""

    name: str
    version: str
    provider: str


def problem_in(schema: type[BaseModel], data: Any) -> str:
    """What is wrong with the data, and where, as text; empty if nothing is."""
    try:
        schema.model_validate(data)
    except ValidationError as problems:
        first = problems.errors(include_url=False)[0]
        text = first["msg"].removeprefix("Value error, ")
        return f"{'.'.join(map(str, first['loc'])) or 'the top level'}: {text[0].lower()}{text[1:]}"
    return ""
