"""The normalisation layers of a target: from the module tree, or from the names in a state_dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import SyncBatchNorm

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.user_code import described
from bnlint.facts.configuration import Configuration, dims_of_name, eps_among, number
from bnlint.facts.live_numbers import of_tensor
from bnlint.facts.saved_layers import stored_norm_layers
from bnlint.facts.statistics import NormTensors
from bnlint.interruption import pass_on
from bnlint.norms.classes import norm_kind
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import COUNTER, STATISTICS, TENSORS
from bnlint.norms.weights import named_layers
from bnlint.tracing.exported import tensors_of_call
from bnlint.tracing.inlined import counter_beside, has_generated_code
from bnlint.tracing.live import named_modules
from bnlint.tracing.live import parameters as parameters_of
from bnlint.tracing.operator_calls import attribute_of
from bnlint.tracing.stand_ins import StandIn
from bnlint.tracing.trace import Trace


@dataclass(frozen=True)
class NormLayer:
    """A normalisation layer that the target holds, called or not.

    Attributes:
        path: Path of the layer.
        kind: Kind of normalisation.
        tensors: Its tensors.
        module: The live layer, where there is one.
        configuration: What the live layer was built with.
        unread: Why nothing of it can be told: what its own code raises where it is read. Empty for other layers.
    """

    path: str
    kind: NormKind
    tensors: NormTensors
    module: nn.Module | None = None
    configuration: Configuration | None = None
    unread: str = ""


def find_layers(artifact: Artifact) -> dict[str, NormLayer]:
    """The normalisation layers of an artifact by path, in model order."""
    if artifact.module is None:
        return _of_program(artifact)
    layers = {}
    for path, module in named_modules(artifact.module):
        kind = norm_kind(module)
        if kind is not None:
            layers[path] = live_layer(path, kind, module)
    return layers | (_named_in(artifact.module) if has_generated_code(artifact.module) else {})


def live_layer(path: str, kind: NormKind, module: nn.Module) -> NormLayer:
    """A live normalisation layer, described as far as its own code lets it be."""
    if isinstance(module, StandIn):
        return NormLayer(path, kind, NormTensors(), module, unread=module.why)
    try:
        return NormLayer(path, kind, tensors_of(module), module, configuration(module))
    except BaseException as error:
        pass_on(error)
        return NormLayer(path, kind, NormTensors(), module, unread=described(error))


def tensors_of(module: nn.Module) -> NormTensors:
    """The tensors of a live normalisation layer."""
    return norm_tensors({name: getattr(module, name, None) for name in TENSORS})


def norm_tensors(values: Mapping[str, object]) -> NormTensors:
    """The tensors among the values of attributes or arguments, by their name in `NormTensors`."""
    return NormTensors(**{name: of_tensor(value) for name, value in values.items() if isinstance(value, Tensor)})


def _of_program(artifact: Artifact) -> dict[str, NormLayer]:
    if artifact.program is not None:
        found = stored_norm_layers(artifact.program.tensors, {})
        return {
            layer.path: NormLayer(layer.path, layer.kind, layer.tensors) for layer in found if layer.kind is not None
        }
    return _named(artifact.tensors)


def _named(tensors: Mapping[str, Tensor]) -> dict[str, NormLayer]:
    """The layers that the names of tensors show."""
    return {
        layer.path: NormLayer(
            layer.path, layer.kind, norm_tensors({role: tensors[name] for role, name in layer.tensors.items()})
        )
        for layer in named_layers(tensors)
        if layer.kind is not None
    }


def _named_in(model: nn.Module) -> dict[str, NormLayer]:
    """The layers of a live graph, of which the tensors alone are left."""
    tensors: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        if has_generated_code(module):
            tensors |= module.named_parameters(path, recurse=False)
            tensors |= module.named_buffers(path, recurse=False)
    return _named(tensors)


def inlined_layers(artifact: Artifact, trace: Trace) -> dict[str, NormLayer]:
    """The layers of a live graph that its calls show: they tell the kind, and flat names do not tell the layer.

    Args:
        artifact: The target.
        trace: Its trace.
    """
    layers = {}
    for call in trace.norm_calls if artifact.module is not None else ():
        if not call.inlined:
            continue
        values: dict[str, object] = {**tensors_of_call(call, trace.attributes)}
        statistics = call.arguments.get(STATISTICS[0])
        if isinstance(statistics, fx.Node) and statistics.op == "get_attr" and artifact.module is not None:
            values[COUNTER] = counter_beside(statistics, artifact.module)
        layers[call.layer] = NormLayer(call.layer, call.kind, norm_tensors(values))
    return layers


def layers_called(trace: Trace) -> dict[str, NormLayer]:
    """The layers that the calls of an ONNX graph show: the names of its weights show none, since some are shared."""
    return {
        call.layer: NormLayer(call.layer, call.kind, norm_tensors(tensors_of_call(call, trace.attributes)))
        for call in trace.norm_calls
        if not call.functional and not call.node.meta.get("tensors_unknown")
    }


def layers_read(trace: Trace) -> frozenset[str]:
    """Paths of the modules whose tensors the graph of a program, or a live one, reads.

    A layer among them without a normalisation call is one that does its arithmetic in Python: the program has the
    arithmetic and not the layer.
    """
    names = (attribute_of(node) for node in trace.graph.nodes if node.users)
    return frozenset(name.rpartition(".")[0] for name in names)


def spatial_dims(module: nn.Module) -> int | None:
    """The 1, 2 or 3 of BatchNorm1d, 2d, 3d and their relatives; `None` where the class does not fix it."""
    if isinstance(module, SyncBatchNorm):
        return None
    told = (dims_of_name(base.__name__) for base in type(module).__mro__)
    return next((dims for dims in told if dims is not None), None)


def configuration(module: nn.Module) -> Configuration:
    """What the class and the attributes of a live layer say."""
    parameters = parameters_of(module, recurse=False)
    name = type(module).__name__
    return Configuration(
        class_name=name,
        spatial_dims=spatial_dims(module),
        synchronised=isinstance(module, SyncBatchNorm) or "sync" in name.lower(),
        parameters_frozen=not any(parameter.requires_grad for parameter in parameters) if parameters else None,
        momentum=number(getattr(module, "momentum", None)),
        eps=eps_among(lambda attribute: getattr(module, attribute, None)),
    )
