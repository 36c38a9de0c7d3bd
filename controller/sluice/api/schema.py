"""JSON Schema of the models -> the structural schema a CustomResourceDefinition accepts.

The API server takes less than pydantic writes: no references, no null types, the older form of
exclusive bounds, and nothing about unknown fields but `x-kubernetes-preserve-unknown-fields`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from sluice.api.base import DURATION_PATTERN, format_duration

Schema = dict[str, Any]
Rule = dict[str, str]

_KEPT = (
    "type",
    "description",
    "format",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)

DURATION_RULE: Rule = {
    "rule": f"self.matches(r'{DURATION_PATTERN}')",
    "message": "expected a duration: a number and a unit (ms, s, m, h, d), such as 30s, 2m or "
    "1h30m",
}


class StructuralSchema:
    """Turns models into structural schemas.

    `rules` and `overrides` are keyed by ``Model`` or ``Model.field`` (the wire's field name).
    `rules` become `x-kubernetes-validations`; `overrides` replace keywords of the schema, where
    None removes one. `server_defaults` names the fields whose default the API server writes into
    the stored object; every other default is only told in the description, since a default that
    appears inside a list makes GitOps tools report a difference for ever.
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, Sequence[Rule]] | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        server_defaults: frozenset[str] = frozenset(),
    ) -> None:
        self._rules = dict(rules or {})
        self._overrides = dict(overrides or {})
        self._server_defaults = server_defaults
        self._definitions: dict[str, Schema] = {}

    def of(self, model: type[BaseModel]) -> Schema:
        """The structural schema of one model, everything inlined."""
        schema = model.model_json_schema(by_alias=True)
        self._definitions = schema.pop("$defs", {})
        return self._convert(schema, model.__name__)

    def _convert(self, schema: Schema, where: str) -> Schema:
        schema, model = self._resolve(schema)
        where_model = model or where
        result: Schema = {key: schema[key] for key in _KEPT if key in schema}
        if "anyOf" in schema:  # several types: only preserve-unknown-fields can say that
            result["x-kubernetes-preserve-unknown-fields"] = True
        _exclusive_bounds(result)
        if result.get("pattern") == DURATION_PATTERN and result.get("type") == "string":
            del result["pattern"]  # the rule's message tells more
            result["x-kubernetes-validations"] = [DURATION_RULE]
        if schema.get("type") == "object":
            self._convert_object(schema, result, where_model)
        elif schema.get("type") == "array":
            result["items"] = self._convert(schema["items"], f"{where}[]")
        for key in dict.fromkeys((where_model, where)):
            self._adapt(result, key)
        return result

    def _convert_object(self, schema: Schema, result: Schema, where: str) -> None:
        values = schema.get("additionalProperties")
        if values is True:
            result["x-kubernetes-preserve-unknown-fields"] = True
        elif isinstance(values, dict):
            result["additionalProperties"] = self._convert(values, f"{where}{{}}")
        if "properties" in schema:
            result["properties"] = {
                name: self._convert_field(field, f"{where}.{name}")
                for name, field in schema["properties"].items()
            }
        if required := schema.get("required"):
            result["required"] = list(required)

    def _convert_field(self, schema: Schema, where: str) -> Schema:
        result = self._convert(schema, where)
        default = schema.get("default")
        if default is None:
            return result
        if where in self._server_defaults:
            result["default"] = default
        elif not isinstance(default, dict | list):
            text = result.get("description", "")
            shown = _shown_default(default, result)
            result["description"] = f"{text} Default: {shown}.".strip()
        return result

    def _resolve(self, schema: Schema) -> tuple[Schema, str | None]:
        """Without null and with the reference's content; and the model's name, if it is one."""
        if "anyOf" in schema:
            forms = [form for form in schema["anyOf"] if form.get("type") != "null"]
            if len(forms) == 1:
                rest = {key: value for key, value in schema.items() if key != "anyOf"}
                schema = {**forms[0], **rest}
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return {**self._definitions[name], **rest}, name
        return schema, None

    def _adapt(self, result: Schema, key: str) -> None:
        for keyword, value in self._overrides.get(key, {}).items():
            if value is None:
                result.pop(keyword, None)
            elif keyword == "properties":
                result["properties"] = {**result.get("properties", {}), **value}
            else:
                result[keyword] = value
        if rules := self._rules.get(key):
            result["x-kubernetes-validations"] = [
                *result.get("x-kubernetes-validations", ()),
                *(dict(rule) for rule in rules),
            ]


def _exclusive_bounds(schema: Schema) -> None:
    """OpenAPI 3.0 has a flag beside the bound, JSON Schema 2020-12 a bound of its own."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema[bound] = schema[exclusive]
            schema[exclusive] = True


def _shown_default(default: Any, schema: Schema) -> str:
    if DURATION_RULE in schema.get("x-kubernetes-validations", ()):
        return format_duration(default)
    return str(default).lower() if isinstance(default, bool) else f"{default}"
