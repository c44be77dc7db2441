"""What is declared, by a file or by ``Task(...)``: pydantic's models, whose mistakes are one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vanbench.exact import InputError
from vanbench.exact.errors import unknown

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

M = TypeVar("M", bound=BaseModel)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class _Told(ModelMetaclass):
    """What is wrong with ``Task(...)`` and its kind is one sentence, as of a file."""

    if not TYPE_CHECKING:  # where each class has its own signature

        def __call__(cls, *given: Any, **named: Any) -> Any:
            if given:
                raise InputError(f"{cls.__name__} takes its fields by name, as in {cls.__name__}(name=...).")
            try:
                return super().__call__(**named)
            except ValidationError as error:
                raise _sentence(cls, error, cls.__name__) from None


class Model(BaseModel, metaclass=_Told):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def checked(model: type[M], content: Any, what: str, stored: bool = False) -> M:
    """``model`` filled with ``content``; the first thing wrong with it as one sentence.

    ``stored``: by a run, perhaps somebody else's: nothing that it names is loaded.
    """
    try:
        return model.model_validate(content, context={"stored": stored})
    except ValidationError as error:
        raise _sentence(model, error, what) from None


def _sentence(model: type[BaseModel], error: ValidationError, what: str) -> InputError:
    told = error.errors()
    first = next((one for one in told if one["type"] == "extra_forbidden"), told[0])  # shape= explains a lack of shapes
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        where, name = place.rpartition(".")[::2]
        inside = f" at {where}" if where else ""
        return unknown(f"field of {what}{inside}", name, _fields(model, first["loc"][:-1]))
    return InputError(f"{what}: {place + ': ' if place else ''}{_plainly(first['msg'])}.")


def _plainly(message: str) -> str:
    """pydantic's words, without those of its own types."""
    message = message.removeprefix("Value error, ").rstrip(".").replace("a valid tuple", "a list")
    message = message.replace("a valid integer", "a whole number").replace("a valid ", "a ")
    return message[0].lower() + message[1:]


def _fields(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Field names of the model that ``path`` leads to."""
    for part in path:
        if part in model.model_fields:
            model = next(_models(model.model_fields[str(part)].annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
