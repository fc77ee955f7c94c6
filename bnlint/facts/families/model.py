"""What is true of the model as a whole."""

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.families.names import COVERAGE, DRY_RUN, IDENTITY, MODE, Names
from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need
from bnlint.report import Location
from bnlint.tracing.kinds import How


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What is true of the model as a whole."""

    class_name: Annotated[Maybe[str], Fact("Class of the model.", IDENTITY, (Need.MODULE,))] = UNKNOWN
    form: Annotated[str, Fact("Form of the target: `module`, `state_dict`, `safetensors`, …", IDENTITY)]
    training: Annotated[
        Maybe[bool | None],
        Fact("The training flag of the root module; null in an exported program.", MODE, (Need.MODULE, Need.MODE)),
    ] = UNKNOWN
    dropouts_ignoring_eval: Annotated[
        Maybe[Names],
        Fact(
            "Source lines where values are dropped although the module that asks for it is in eval mode, and paths of"
            " active dropout layers that are outside the module tree, or that `forward` puts into training mode.",
            MODE,
            (Need.MODE, Need.GRAPH),
        ),
    ] = UNKNOWN
    batch_norms_exported_in_training: Annotated[
        Maybe[int | None],
        Fact(
            "BatchNorm layers that were in training mode when an ONNX file was exported, though the program normalises"
            " by their running statistics: by the operators of torch that the exporter notes; null for targets that"
            " are no ONNX file.",
            MODE,
            ordinary=(0, None),
        ),
    ] = None
    norm_layers: Annotated[int, Fact("Normalisation layers in the target.", COVERAGE)]
    batch_norm_layers: Annotated[Maybe[int], Fact("BatchNorm layers in the target.", COVERAGE, (Need.MODULE,))]
    graph: Annotated[
        str,
        Fact(
            "How the graph came about: `recorded`, `recorded_with_values`, `symbolic`, `partial`, `exported`, `none`.",
            COVERAGE,
            values=tuple(map(str, How)),
        ),
    ]
    graph_reason: Annotated[
        str, Fact("Why there is no better graph; empty where there is nothing to say.", COVERAGE)
    ] = ""
    can_be_traced: Annotated[
        bool, Fact("Whether the target holds code that could run, and not weights alone.", COVERAGE)
    ]
    norm_calls: Annotated[Maybe[int], Fact("Normalisation calls seen in one forward.", COVERAGE, (Need.GRAPH,))] = (
        UNKNOWN
    )
    calls_on_loading: Annotated[
        Names,
        Fact(
            "Every function and class that `torch.load(weights_only=False)` or `pickle.load` of the file, or of that of"
            " `--weights`, would call; nothing where neither is a pickle.",
            COVERAGE,
        ),
    ] = frozenset()
    powerful_calls: Annotated[
        Names,
        Fact(
            "Those of them that can run commands or code, write files or reach the network.",
            COVERAGE,
            ordinary=(frozenset(),),
        ),
    ] = frozenset()
    foreign_calls: Annotated[
        Names,
        Fact(
            "Others of them outside the packages that models are usually made of, and the model's own modules.",
            COVERAGE,
        ),
    ] = frozenset()
    output_depends_on_batch: Annotated[
        Maybe[bool],
        Fact(
            "Whether the output for the first sample changes with the other samples of its batch, in eval mode.",
            DRY_RUN,
            (Need.MODULE, Need.RUN),
        ),
    ] = UNKNOWN
    samples_meet_in: Annotated[
        Maybe[str | None],
        Fact(
            "The innermost module, with its class, whose output for the first sample changes while its input does not;"
            " null where there is none.",
            DRY_RUN,
            (Need.MODULE, Need.RUN),
        ),
    ] = UNKNOWN
    samples_meet_in_batch_norm: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether that module is, or holds, a BatchNorm that is known to normalise by the batch in eval mode, or to"
            " move its statistics with it; null where samples do not meet.",
            DRY_RUN,
            (Need.MODULE, Need.RUN),
        ),
    ] = UNKNOWN
    location: Location | None = None
