"""Operators of ONNX by name: the functions of torch that stand for them in a graph.

Source of the operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F

from bnlint.norms.functions import function_of_kind
from bnlint.norms.onnx import NORMALISATIONS
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import BY_OPERATOR
from bnlint.tracing.saved_operators import unknown_operator

Function = Callable[..., Any]


def other_operator(*_: Any, **__: Any) -> Any:
    """Stands in a graph for an operator of ONNX that computes with values in a way that no rule asks for.

    Raises:
        NotImplementedError: Always: the graph of an ONNX file can be read and not run.
    """
    raise NotImplementedError("the graph of an ONNX file is not run")


def copy_with_new_axes(*_: Any, **__: Any) -> Any:
    """Stands in a graph for `DepthToSpace` and `SpaceToDepth`, which move values between axes.

    Raises:
        NotImplementedError: As `other_operator`.
    """
    raise NotImplementedError("the graph of an ONNX file is not run")


_FUNCTIONS: Final[dict[str, Function]] = {
    "Conv": torch.convolution,
    "ConvInteger": torch.convolution,
    "QLinearConv": torch.convolution,
    "DeformConv": torch.convolution,
    "ConvTranspose": torch.conv_transpose2d,
    "Gemm": F.linear,
    "MatMul": torch.matmul,
    "MatMulInteger": torch.matmul,
    "QLinearMatMul": torch.matmul,
    "Einsum": torch.einsum,
    "LSTM": torch.lstm,
    "GRU": torch.gru,
    "RNN": torch.rnn_tanh,
    "Attention": F.scaled_dot_product_attention,
    "com.microsoft::Attention": F.scaled_dot_product_attention,
    "com.microsoft::MultiHeadAttention": F.scaled_dot_product_attention,
    "Relu": torch.relu,
    "LeakyRelu": F.leaky_relu,
    "PRelu": torch.prelu,
    "ThresholdedRelu": F.threshold,
    "Clip": F.hardtanh,
    "Elu": F.elu,
    "Selu": F.selu,
    "Celu": F.celu,
    "Gelu": F.gelu,
    "com.microsoft::Gelu": F.gelu,
    "com.microsoft::FastGelu": F.gelu,
    "Sigmoid": torch.sigmoid,
    "HardSigmoid": F.hardsigmoid,
    "HardSwish": F.hardswish,
    "Swish": F.silu,
    "Mish": F.mish,
    "Tanh": torch.tanh,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Shrink": F.hardshrink,
    "Softmax": torch.softmax,
    "LogSoftmax": torch.log_softmax,
    "Hardmax": torch.softmax,
    "Dropout": F.dropout,
    "MaxPool": F.max_pool2d,
    "AveragePool": F.avg_pool2d,
    "LpPool": F.lp_pool2d,
    "GlobalAveragePool": F.adaptive_avg_pool2d,
    "GlobalMaxPool": F.adaptive_max_pool2d,
    "GlobalLpPool": F.lp_pool2d,
    "Resize": F.interpolate,
    "Upsample": F.interpolate,
    "GridSample": F.grid_sample,
    "Pad": F.pad,
    "Add": torch.add,
    "Sum": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Concat": torch.cat,
    "Reshape": torch.reshape,
    "Flatten": torch.flatten,
    "Squeeze": torch.squeeze,
    "Unsqueeze": torch.unsqueeze,
    "Transpose": torch.permute,
    "Identity": torch.clone,
    "Cast": torch.clone,
    "CastLike": torch.clone,
    "QuantizeLinear": torch.clone,
    "DequantizeLinear": torch.clone,
    "Expand": torch.broadcast_to,
    "Tile": torch.tile,
    "DepthToSpace": copy_with_new_axes,
    "SpaceToDepth": copy_with_new_axes,
    "Split": torch.split,
    "SplitToSequence": torch.split,
    "SequenceAt": torch.index_select,
    "SequenceConstruct": torch.stack,
    "ConcatFromSequence": torch.cat,
    "Slice": torch.narrow,
    "Gather": torch.index_select,
    "GatherElements": torch.gather,
    "GatherND": torch.gather,
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceProd": torch.prod,
    "ReduceL2": torch.norm,
    "ReduceLogSumExp": torch.logsumexp,
    "Shape": torch.scalar_tensor,
    "Size": torch.scalar_tensor,
    "ConstantOfShape": torch.zeros,
    "Constant": torch.zeros,
    "Range": torch.arange,
    "EyeLike": torch.eye,
    "RandomNormal": torch.randn,
    "RandomUniform": torch.rand,
    "RandomNormalLike": torch.randn_like,
    "RandomUniformLike": torch.rand_like,
}

_ROLES: Final[dict[Function, Role]] = {
    copy_with_new_axes: Role.MOVE,
    other_operator: Role.OTHER,
    unknown_operator: Role.UNKNOWN,
    torch.rnn_tanh: Role.RECURRENT,
}

_OTHER_NAMES: Final = (
    "Abs Acos Acosh AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Bernoulli BitShift BitwiseAnd "
    "BitwiseNot BitwiseOr BitwiseXor Ceil CenterCropPad Col2Im Compress Cos Cosh CumSum DFT Det "
    "DynamicQuantizeLinear Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log "
    "LpNormalization Max MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mod Multinomial Neg "
    "NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Or Pow Reciprocal ReduceL1 "
    "ReduceLogSum ReduceSumSquare ReverseSequence RoiAlign Round Scatter ScatterElements ScatterND Sign "
    "Sin Sinh SoftmaxCrossEntropyLoss Sqrt Tan TensorScatter TopK Trilu Unique Where Xor"
)
_OTHERS: Final = frozenset(_OTHER_NAMES.split())


def function_of(operator: str) -> Function:
    """The function that stands for an operator of ONNX; `unknown_operator` for one of another library."""
    if operator in NORMALISATIONS:
        return function_of_kind(NORMALISATIONS[operator])
    return _FUNCTIONS.get(operator, other_operator if operator in _OTHERS else unknown_operator)


def role_of(function: Function) -> Role:
    """The role of such a function."""
    return _ROLES.get(function) or BY_OPERATOR.get(getattr(function, "__name__", "").rstrip("_"), Role.OTHER)
