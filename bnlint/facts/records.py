"""The fact records: one for each normalisation call, one for the model. Rules read these and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from bnlint.facts.families.configuration import ConfigurationFamily
from bnlint.facts.families.data import DataFamily
from bnlint.facts.families.dry_run import DryRunFamily
from bnlint.facts.families.folding import FoldingFamily
from bnlint.facts.families.identity import IdentityFamily
from bnlint.facts.families.mode import ModeFamily
from bnlint.facts.families.model import ModelFacts
from bnlint.facts.families.shape import ShapeFamily
from bnlint.facts.families.statistics import StatisticsFamily
from bnlint.facts.families.surroundings import SurroundingsFamily
from bnlint.facts.vocabulary import Need, vocabulary
from bnlint.report import Location

__all__ = ["FactTable", "ModelFacts", "NormFacts", "why_unknown"]


@dataclass(frozen=True, kw_only=True, init=False)
class NormFacts(
    DataFamily,
    DryRunFamily,
    ShapeFamily,
    FoldingFamily,
    SurroundingsFamily,
    StatisticsFamily,
    ConfigurationFamily,
    ModeFamily,
    IdentityFamily,
):
    """What is true of one normalisation call, or of one normalisation layer where no call was seen.

    Two fields are no facts, since no rule decides by them: `location`, the user's line of the call, and `definition`,
    the class outside torch that the layer is a part of.
    """

    location: Location | None = None
    definition: Location | None = None

    def __init__(self, **facts: Any) -> None:
        """Take what is known; the rest is unknown, which the class says.

        A generated method would set each of a hundred fields by itself, and a model can have ten thousands of layers.

        Args:
            facts: By the names of the fields.

        Raises:
            TypeError: A name is no field, or `layer` or `kind` is missing.
        """
        if not _REQUIRED <= facts.keys() <= _FIELDS:
            raise TypeError(f"the facts are {', '.join(sorted(facts))}")
        self.__dict__.update(facts)


_FIELDS: Final = frozenset(field.name for field in fields(NormFacts))
_REQUIRED: Final = frozenset({"layer", "kind"})


@dataclass(frozen=True)
class FactTable:
    """All that the rules may know.

    Attributes:
        model: The record of the model.
        norms: One record for each normalisation call in call order, then one for each layer that was never called.
        available: The sources of facts that were at hand.
        advice: What would supply one that was not, where the usual hint does not fit the target.
        reasons: Why a fact is unknown although all sources were at hand, by name of the fact: clauses.
        unread: Why a layer cannot be read, by its path: what its own code raises.
    """

    model: ModelFacts
    norms: tuple[NormFacts, ...]
    available: frozenset[Need] = frozenset()
    advice: Mapping[Need, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


def why_unknown(names: Iterable[str], record: type, table: FactTable) -> str:
    """Why facts are unknown although all that they need was at hand.

    Args:
        names: The facts.
        record: Their record, `NormFacts` or `ModelFacts`.
        table: The table that they are in.

    Returns:
        The reasons, as far as they are known; else what would give a better graph, for facts that come from one;
        else nothing.
    """
    names = tuple(names)
    reasons = dict.fromkeys(table.reasons[name] for name in names if name in table.reasons)
    if reasons:
        return "; ".join(reasons)
    facts = vocabulary(record)
    if Need.GRAPH in table.advice and any(Need.GRAPH in facts[name].fact.needs for name in names):
        return table.advice[Need.GRAPH]
    return ""
