"""Declarations of JSON objects: one schema that describes, checks, and reads."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from neurdicom.errors import Invalid
from neurdicom.schema.texts import Schema


class Checked(Mapping[str, Any]):
    """A JSON object that meets a declaration; only `Declaration.check` makes one.

    Attributes
    ----------
    declaration : Declaration
    """

    __slots__ = ("_members", "declaration")

    def __init__(self, declaration: "Declaration", members: dict[str, Any]) -> None:
        self.declaration = declaration
        self._members = members

    def __getitem__(self, name: str) -> Any:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


class Declaration:
    """The declaration of the JSON of a request, or of a part of it: its schema, with which it is checked and read.

    Parameters
    ----------
    schema : Schema
        JSON Schema, draft 2020-12.
    alone : Collection of str
        Members whose own members are named without them in errors.
    refusal : callable, optional
        Says why a member of this name is refused, where the schema knows none.
    most : int, optional
        Most members of all objects in a value together, whatever the schema says of each.

    Attributes
    ----------
    schema : Schema
        For a description, and as a part of other declarations.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        alone: Collection[str] = (),
        refusal: Callable[[str], str] | None = None,
        most: int | None = None,
    ) -> None:
        self.schema = schema
        self._most = most
        self._alone = alone
        self._refusal = refusal

    @cached_property
    def _validator(self) -> Any:
        from neurdicom.schema.validator import SchemaValidator  # jsonschema takes 50 ms, which `--help` need not pay

        return SchemaValidator(dict(self.schema))

    def check(self, given: Mapping[str, Any]) -> Checked:
        """Check an object; one that was checked by this declaration is not checked again. Raises `Invalid`."""
        if isinstance(given, Checked) and given.declaration is self:
            return given
        return Checked(self, self.read(dict(given)))

    def read(self, value: Any, *, field: str = "") -> Any:
        """Check a value; return it with whole numbers such as 3.0 as integers, where the schema asks for these.

        Parameters
        ----------
        value
            As JSON has it.
        field : str
            Its name, where it is a part of something.

        Raises
        ------
        Invalid
            It does not meet the schema; `field` names the member.
        """
        from neurdicom.schema.problems import invalid_of
        from neurdicom.schema.validator import first_error

        if self._most is not None and _has_more_members(value, self._most):
            raise Invalid(f"{field or 'the body'} has more than {self._most} members in all; expected: at most these")
        error = first_error(self._validator, value)
        if error is not None:
            raise invalid_of(error, prefix=field, alone=self._alone, refusal=self._refusal)
        return _with_integers(self.schema, value)


def _has_more_members(value: Any, most: int) -> bool:
    """Tell whether the objects and lists in a value, which nest, have more members and lists than `most` together."""
    count, rest = 0, [value] if isinstance(value, dict | list) else []
    while rest and count <= most:
        one = rest.pop()
        nested = [each for each in (one.values() if isinstance(one, dict) else one) if isinstance(each, dict | list)]
        count += len(one) if isinstance(one, dict) else len(nested)
        rest += nested
    return count > most


def _with_integers(schema: Schema, value: Any) -> Any:
    """Convert whole numbers to integers where a schema asks for these; all other values stay as they are."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and _asks_integer(schema) else value
    if isinstance(value, dict):
        for part in _parts(schema):
            if properties := part.get("properties"):  # others may nest deeper than Python recurses
                value = {
                    name: _with_integers(properties[name], member) if name in properties else member
                    for name, member in value.items()
                }
    elif isinstance(value, list):
        for part in _parts(schema):
            if "items" in part:
                value = [_with_integers(part["items"], item) for item in value]
    return value


def _asks_integer(schema: Schema) -> bool:
    return any(part.get("type") == "integer" for part in _parts(schema))


def _parts(schema: Any) -> Iterator[Schema]:
    """Walk over a schema and those that hold for the same value."""
    if isinstance(schema, Mapping):
        yield schema
        for keyword in ("allOf", "anyOf", "oneOf"):
            for each in schema.get(keyword, ()):
                yield from _parts(each)
