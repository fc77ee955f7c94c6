"""From a rule file to a rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bnlint.errors import RuleFileError
from bnlint.facts.vocabulary import Need, vocabulary
from bnlint.ruleset.conditions import Comparison, Condition, Every, Negation, Some
from bnlint.ruleset.message import parse_message
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.schema import RECORDS, RULE_FILES, RuleFile
from bnlint.ruleset.source import Key
from bnlint.ruleset.yaml_source import YamlSource, read_yaml


def read_rule(file: Path, name: str) -> Rule:
    """Read one rule file.

    Args:
        file: The file.
        name: The file as messages name it.

    Raises:
        RuleFileError: If anything is wrong with it; the cause names the file, the line and the nearest right name.
    """
    source = read_yaml(file, name)
    of = _record(source)
    try:
        content: RuleFile = msgspec.convert(source.data, RULE_FILES[of])
    except msgspec.ValidationError as error:
        from bnlint.ruleset.rule_complaint import complain_of_rule  # only a mistake needs it

        raise complain_of_rule(source, of, error) from error
    except RecursionError as error:
        raise RuleFileError(f"{name} is nested too deeply.") from error
    _refuse_idle_examples(source, content, of)
    try:
        message = parse_message(content.message.strip(), tuple(vocabulary(RECORDS[of])), content.options)
    except ValueError as error:
        raise source.error(("message",), f"{error}.".replace("?.", "?")) from error
    return Rule(
        code=content.code,
        name=content.name,
        summary=content.summary.strip(),
        severity=content.severity,
        contexts=content.contexts,
        also_when_declared=frozenset(Need[name.upper()] for name in content.also_when_declared),
        of="norm" if of == "norm" else "model",
        when=_Compiler(source, content.options).mapping(source.data["when"], ("when",)),
        options=content.options,
        message=message,
        why=content.why.strip(),
        fix=content.fix.strip(),
        false_alarms=content.false_alarms.strip(),
        references=content.references,
        examples=content.examples,
        source=name,
    )


def _record(source: YamlSource) -> str:
    if not isinstance(source.data, dict):
        raise source.error((), "a rule file is a mapping of keys such as `code`, `name` and `when`.")
    if "of" not in source.data:
        raise source.error((), f'the key "of" is missing: {alternatives(RECORDS)}.')
    of = source.data["of"]
    if isinstance(of, str) and of in RECORDS:
        return of
    raise source.error(
        ("of",), f'unknown record "{of}";', did_you_mean(str(of), RECORDS) or f"it is {alternatives(RECORDS)}."
    )


def _refuse_idle_examples(source: YamlSource, content: RuleFile, of: str) -> None:
    """A bad example of a rule on layers must say on which layers; a good one has none."""
    for group, examples in (("bad", content.examples.bad), ("good", content.examples.good)):
        for index, example in enumerate(examples):
            if bool(example.layers) != (group == "bad" and of == "norm"):
                problem = "name no `layers`" if example.layers else "must name the `layers` that the rule finds"
                who = "good examples" if group == "good" else "bad examples of a rule of: " + of
                raise source.error(("examples", group, index), f"{who} {problem}.")


class _Compiler:
    """Turns the mapping after `when:`, which has been validated, into a condition; keys keep their order."""

    def __init__(self, source: YamlSource, options: Mapping[str, int | float]) -> None:
        self._source = source
        self._options = options

    def mapping(self, data: Mapping[str, Any], path: tuple[Key, ...]) -> Condition:
        """A mapping of facts and connectives, all of which must hold."""
        if not data:
            raise self._source.error(path, f'"{path[-1]}" is empty: it would always hold.')
        return _every([part for key, value in data.items() for part in self._entry(key, value, (*path, key))])

    def _entry(self, key: str, value: Any, path: tuple[Key, ...]) -> list[Condition]:
        if key == "not":
            return [Negation(self.mapping(value, path))]
        if key in {"all", "any"}:
            parts = [self.mapping(item, (*path, index)) for index, item in enumerate(value)]
            return [Some(tuple(parts)) if key == "any" and len(parts) > 1 else _every(parts)]
        if not isinstance(value, dict):
            return [Comparison(key, "equals", value)]
        if not value:
            raise self._source.error(path, f'"{key}" has no operator: it would always hold.')
        return [self._comparison(key, operator, operand, (*path, operator)) for operator, operand in value.items()]

    def _comparison(self, fact: str, operator: str, operand: Any, path: tuple[Key, ...]) -> Comparison:
        if operator in {"has", "lacks", "only"}:
            return Comparison(fact, operator, frozenset([operand] if isinstance(operand, str) else operand))
        if operator in {"in", "not_in"}:
            return Comparison(fact, operator, frozenset(operand))
        if not isinstance(operand, str):
            return Comparison(fact, operator, operand)
        option = operand.removeprefix("$")
        if option not in self._options:
            hint = did_you_mean(operand, [f"${name}" for name in self._options]) or "name it under `options:`."
            raise self._source.error(path, f'unknown option "{operand}";', hint)
        return Comparison(fact, operator, self._options[option], option)


def _every(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Every(tuple(parts))
