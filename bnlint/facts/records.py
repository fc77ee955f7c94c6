"""The fact records: one for each normalisation call, one for the model. Rules read these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bnlint.facts.unknown import UNKNOWN, Maybe
from bnlint.facts.vocabulary import Fact, Need
from bnlint.report import Location
from bnlint.tracing.kinds import How, NormKind, Role

IDENTITY, MODE, CONFIGURATION = "identity", "mode", "configuration"
STATISTICS, SURROUNDINGS, FOLDING = "statistics", "surroundings", "folding"
SHAPE, COVERAGE = "shape", "coverage"

Names = frozenset[str]

KINDS = tuple(map(str, NormKind))
ROLES = tuple(map(str, Role))
GRAPHS = tuple(map(str, How))


@dataclass(frozen=True, kw_only=True, slots=True)
class NormFacts:
    """What is true of one normalisation call, or of one normalisation layer where no call was seen.

    Two fields are no facts, since no rule decides by them: `location`, the user's line of the call, and `definition`,
    the class outside torch that the layer is a part of.
    """

    layer: Annotated[str, Fact("Path of the layer in the model, as in `named_modules()`.", IDENTITY)]
    kind: Annotated[
        str,
        Fact(
            "`batch_norm`, `instance_norm`, `layer_norm`, `group_norm`, `rms_norm` or `local_response_norm`.",
            IDENTITY,
            values=KINDS,
        ),
    ]
    class_name: Annotated[
        Maybe[str], Fact("Class of the layer, or name of the function.", IDENTITY, (Need.MODULE,))
    ] = UNKNOWN
    spatial_dims: Annotated[
        Maybe[int | None],
        Fact("The 1, 2 or 3 of BatchNorm1d, 2d, 3d; null where the class does not fix it.", IDENTITY, (Need.MODULE,)),
    ] = UNKNOWN
    functional: Annotated[
        Maybe[bool],
        Fact(
            "Whether a function such as `F.batch_norm` is called outside any normalisation layer.",
            IDENTITY,
            (Need.GRAPH,),
        ),
    ] = UNKNOWN
    registered: Annotated[
        Maybe[bool], Fact("Whether the layer is in the module tree, where `eval()` finds it.", IDENTITY, (Need.MODULE,))
    ] = UNKNOWN

    training: Annotated[Maybe[bool], Fact("The layer's own training flag.", MODE, (Need.MODULE, Need.MODE))] = UNKNOWN
    model_training: Annotated[
        Maybe[bool], Fact("The training flag of the whole model, its root module.", MODE, (Need.MODULE, Need.MODE))
    ] = UNKNOWN
    uses_batch_statistics: Annotated[
        Maybe[bool],
        Fact(
            "Whether the layer, in its present mode, normalises by the batch rather than by running statistics.",
            MODE,
            (Need.MODULE, Need.MODE),
        ),
    ] = UNKNOWN
    learns_statistics: Annotated[
        Maybe[bool],
        Fact(
            "Whether the layer would normalise by the batch in training: not a frozen class, and not held in eval mode"
            " while the model trains.",
            MODE,
            (Need.MODULE,),
        ),
    ] = UNKNOWN

    momentum: Annotated[
        Maybe[float | None],
        Fact("Share of the new batch in each update; null is a cumulative average.", CONFIGURATION, (Need.MODULE,)),
    ] = UNKNOWN
    eps: Annotated[
        Maybe[float | None],
        Fact(
            "The constant added to the variance; null where the class chooses it by dtype.",
            CONFIGURATION,
            (Need.MODULE,),
        ),
    ] = UNKNOWN
    affine: Annotated[Maybe[bool], Fact("Whether there is a learned scale.", CONFIGURATION, (Need.STATE,))] = UNKNOWN
    has_running_statistics: Annotated[
        Maybe[bool], Fact("Whether a running mean and a running variance are kept.", CONFIGURATION, (Need.STATE,))
    ] = UNKNOWN
    channels: Annotated[
        Maybe[int | None], Fact("Number of channels; null where the kind has none.", CONFIGURATION, (Need.STATE,))
    ] = UNKNOWN
    dtype: Annotated[
        Maybe[str | None],
        Fact(
            "Data type of the statistics, or of the scale; null where the layer has neither.",
            CONFIGURATION,
            (Need.STATE,),
        ),
    ] = UNKNOWN

    has_batch_counter: Annotated[
        Maybe[bool], Fact("Whether `num_batches_tracked` is kept.", STATISTICS, (Need.STATE,))
    ] = UNKNOWN
    batches_counted: Annotated[
        Maybe[int | None],
        Fact("Value of `num_batches_tracked`, in batches; null without a counter.", STATISTICS, (Need.STATE,)),
    ] = UNKNOWN
    statistics_at_initial_values: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the mean is 0 and the variance 1 in every channel; null without statistics.",
            STATISTICS,
            (Need.STATE,),
        ),
    ] = UNKNOWN
    affine_at_initial_values: Annotated[
        Maybe[bool | None],
        Fact("Whether the scale is 1 and the shift 0 in every channel; null without both.", STATISTICS, (Need.STATE,)),
    ] = UNKNOWN
    nonfinite_tensors: Annotated[
        Maybe[Names],
        Fact(
            "Which of `running_mean`, `running_var`, `weight`, `bias` hold NaN or an infinity.",
            STATISTICS,
            (Need.STATE,),
            values=("running_mean", "running_var", "weight", "bias"),
        ),
    ] = UNKNOWN
    negative_variances: Annotated[
        Maybe[int | None],
        Fact(
            "Number of channels whose running variance is below zero; null without statistics.",
            STATISTICS,
            (Need.STATE,),
        ),
    ] = UNKNOWN

    calls: Annotated[Maybe[int], Fact("How often the layer is called in one forward.", SURROUNDINGS, (Need.GRAPH,))] = (
        UNKNOWN
    )
    fed_by: Annotated[
        Maybe[Names],
        Fact(
            "Roles of what feeds the call, seen through operators that move values only.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=ROLES,
        ),
    ] = UNKNOWN
    feeds: Annotated[
        Maybe[Names],
        Fact(
            "Roles of what the call feeds, seen through operators that move values only.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=ROLES,
        ),
    ] = UNKNOWN
    identity_branch: Annotated[
        Maybe[bool],
        Fact(
            "Whether the call stands on a skip connection: its input goes elsewhere too, and its output is only added,"
            " as in RepVGG.",
            SURROUNDINGS,
            (Need.GRAPH,),
        ),
    ] = UNKNOWN
    sequence_evidence: Annotated[
        Maybe[Names],
        Fact(
            "Which of `attention`, `recurrent`, `embedding` the values come from or go to, along a sequence that is not"
            " the pixel grid of an image.",
            SURROUNDINGS,
            (Need.GRAPH,),
            values=("attention", "recurrent", "embedding"),
        ),
    ] = UNKNOWN

    foldable: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether `bnlint fold` can absorb the layer into its neighbours; null for other kinds than BatchNorm.",
            FOLDING,
            (Need.MODULE, Need.GRAPH),
        ),
    ] = UNKNOWN
    folds_into: Annotated[
        Maybe[Names], Fact("Paths of the layers that would absorb it.", FOLDING, (Need.MODULE, Need.GRAPH))
    ] = UNKNOWN
    fold_obstacle: Annotated[
        Maybe[str | None],
        Fact("Why the layer cannot be folded; null where it can.", FOLDING, (Need.MODULE, Need.GRAPH)),
    ] = UNKNOWN

    input_shape: Annotated[
        Maybe[tuple[int, ...] | None],
        Fact("Shape of the input of the call; null when never called.", SHAPE, (Need.GRAPH,)),
    ] = UNKNOWN
    channel_axis: Annotated[
        Maybe[int | None], Fact("The axis of the input that is normalised by channel, from 0.", SHAPE, (Need.GRAPH,))
    ] = UNKNOWN
    channel_axis_is_feature_axis: Annotated[
        Maybe[bool | None],
        Fact(
            "Whether the channel axis is the one on which the layer upstream puts its channels or features, followed"
            " through reshape, permute and flatten; null where no such layer is next upstream.",
            SHAPE,
            (Need.GRAPH,),
        ),
    ] = UNKNOWN
    values_per_sample: Annotated[
        Maybe[int | None],
        Fact("Values that one sample adds to each channel's statistics (H·W, L or 1).", SHAPE, (Need.GRAPH,)),
    ] = UNKNOWN
    values_per_channel: Annotated[
        Maybe[int | None],
        Fact(
            "Values in each channel's statistics at the declared batch size (N·H·W, N·L or N).",
            SHAPE,
            (Need.GRAPH, Need.BATCH_SIZE),
        ),
    ] = UNKNOWN
    batch_size: Annotated[
        Maybe[int], Fact("The declared training batch on each device, in samples.", SHAPE, (Need.BATCH_SIZE,))
    ] = UNKNOWN

    location: Location | None = None
    definition: Location | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What is true of the model as a whole."""

    class_name: Annotated[Maybe[str], Fact("Class of the model.", IDENTITY, (Need.MODULE,))] = UNKNOWN
    form: Annotated[str, Fact("Form of the target: `module`, `state_dict`, `safetensors`, …", IDENTITY)]
    training: Annotated[Maybe[bool], Fact("The training flag of the root module.", MODE, (Need.MODULE, Need.MODE))] = (
        UNKNOWN
    )
    norm_layers: Annotated[int, Fact("Normalisation layers in the target.", COVERAGE)]
    batch_norm_layers: Annotated[int, Fact("BatchNorm layers in the target.", COVERAGE)]
    graph: Annotated[
        str,
        Fact(
            "How the graph came about: `recorded`, `recorded_with_values`, `symbolic`, `partial`, `exported`, `none`.",
            COVERAGE,
            values=GRAPHS,
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
    location: Location | None = None


@dataclass(frozen=True)
class FactTable:
    """All that the rules may know.

    Attributes:
        model: The record of the model.
        norms: One record for each normalisation call in call order, then one for each layer that was never called.
        available: The sources of facts that were at hand.
    """

    model: ModelFacts
    norms: tuple[NormFacts, ...]
    available: frozenset[Need] = frozenset()
