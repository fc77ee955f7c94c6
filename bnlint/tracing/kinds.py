"""The names that tracing gives to things, without torch, so that facts and rules can speak of them."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """What an operator does to the values that pass through it."""

    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    CONVOLUTION = "convolution"
    TRANSPOSED_CONVOLUTION = "transposed_convolution"
    LINEAR = "linear"
    MATMUL = "matmul"
    EMBEDDING = "embedding"
    RECURRENT = "recurrent"
    ATTENTION = "attention"
    NORMALISATION = "normalisation"
    ACTIVATION = "activation"
    SOFTMAX = "softmax"
    DROPOUT = "dropout"
    POOLING = "pooling"
    UPSAMPLING = "upsampling"
    PADDING = "padding"
    ADDITION = "addition"
    MULTIPLICATION = "multiplication"
    CONCATENATION = "concatenation"
    MOVE = "move"
    """Values are moved, viewed or cast, never changed or mixed: transparent to rules."""
    PART = "part"
    """A part of the values is taken: split, chunk, slices, an element of a tuple."""
    REDUCTION = "reduction"
    OTHER = "other"
    UNKNOWN = "unknown"
    """Where the values come from could not be seen."""


class How(enum.StrEnum):
    """How a graph came about, best first."""

    RECORDED = "recorded"
    """One run on meta tensors was recorded: no weights were read."""
    RECORDED_WITH_VALUES = "recorded_with_values"
    """The model's code needs values: a run on a copy in CPU memory was recorded."""
    EXPORTED = "exported"
    """The graph of a `torch.export.ExportedProgram`."""
    SYMBOLIC = "symbolic"
    """`torch.fx.symbolic_trace` without an input: no shapes."""
    PARTIAL = "partial"
    """Only parts of the model could be traced."""
    NONE = "none"
    """The module tree only."""
