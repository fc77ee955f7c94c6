"""What each operator is: one table by operator name, one by module class.

Operator names are those of PyTorch without namespace, overload and the trailing underscore of in-place forms, so that
`F.relu`, `torch.relu_`, `Tensor.relu` and `aten.relu.default` are one entry.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import nn
from torch._ops import OpOverloadPacket

from bnlint.norms.classes import norm_kind
from bnlint.norms.operators import BY_NAME
from bnlint.tracing.kinds import Role

TRANSPARENT = frozenset({Role.MOVE, Role.PART, Role.CONCATENATION})
"""Roles that a rule sees through."""

_OPERATORS: dict[Role, str] = {
    Role.CONVOLUTION: "conv1d conv2d conv3d convolution _convolution conv_depthwise3d mkldnn_convolution deform_conv2d",
    Role.TRANSPOSED_CONVOLUTION: "conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc",
    Role.LINEAR: "linear addmm bilinear addmv",
    Role.MATMUL: "matmul mm bmm mv dot baddbmm addbmm einsum tensordot chain_matmul multi_dot __matmul__ __rmatmul__",
    Role.EMBEDDING: "embedding embedding_bag",
    Role.RECURRENT: "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    Role.ATTENTION: (
        "scaled_dot_product_attention multi_head_attention_forward _native_multi_head_attention"
        " _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu"
        " _scaled_dot_product_efficient_attention"
    ),
    Role.NORMALISATION: " ".join(BY_NAME),
    Role.ACTIVATION: (
        "relu relu6 gelu silu mish elu celu selu leaky_relu rrelu prelu hardswish hardsigmoid hardtanh sigmoid tanh"
        " logsigmoid log_sigmoid softplus softsign tanhshrink hardshrink softshrink threshold glu swish"
    ),
    Role.SOFTMAX: "softmax log_softmax softmin gumbel_softmax _softmax _log_softmax _safe_softmax",
    Role.DROPOUT: (
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout native_dropout"
        " stochastic_depth drop_path"
    ),
    Role.POOLING: (
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d"
        " adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d lp_pool3d"
        " max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices fractional_max_pool2d"
        " fractional_max_pool3d adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices _adaptive_avg_pool2d"
        " boolean_dispatch"
    ),
    Role.UPSAMPLING: (
        "interpolate upsample upsample_nearest upsample_bilinear upsample_nearest1d upsample_nearest2d"
        " upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d grid_sample"
    ),
    Role.PADDING: "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d"
    " replication_pad2d replication_pad3d",
    Role.ADDITION: "add iadd __add__ __radd__ __iadd__ sub isub rsub subtract __sub__ __rsub__ __isub__",
    Role.MULTIPLICATION: (
        "mul imul multiply __mul__ __rmul__ __imul__ div idiv truediv itruediv true_divide divide __truediv__"
        " __rtruediv__ __itruediv__ addcmul"
    ),
    Role.CONCATENATION: "cat concat concatenate stack hstack vstack dstack",
    Role.MOVE: (
        "reshape view flatten unflatten permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze t T mT"
        " contiguous clone detach to type type_as float double half bfloat16 cuda cpu expand expand_as repeat view_as"
        " reshape_as roll flip pixel_shuffle pixel_unshuffle channel_shuffle rot90 alias lift_fresh_copy _to_copy copy"
        " identity data requires_grad_ tile unsafe_view _unsafe_view squeeze_copy _reshape_alias H mH fold unfold"
        " im2col pin_memory broadcast_to as_strided"
    ),
    Role.PART: (
        "getitem __getitem__ split chunk tensor_split unbind narrow select slice index_select masked_select gather take"
        " split_with_sizes hsplit vsplit unsafe_chunk unsafe_split diagonal index getattr"
    ),
    Role.REDUCTION: (
        "mean sum max min amax amin var std norm prod logsumexp var_mean std_mean aminmax linalg_vector_norm"
    ),
    Role.CONSTANT: (
        "zeros ones empty full arange linspace rand randn eye tensor as_tensor scalar_tensor zeros_like ones_like"
        " empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full new_tensor tril_indices"
        " triu_indices logspace from_numpy randint randperm empty_strided lift_fresh bernoulli _assert_tensor_metadata"
        " _assert_async _assert_scalar"
    ),
}

BY_OPERATOR: dict[str, Role] = {name: role for role, names in _OPERATORS.items() for name in names.split()}
"""Role by operator name."""

_MODULES: dict[Role, str] = {
    Role.CONVOLUTION: "_ConvNd Conv1d Conv2d Conv3d",
    Role.TRANSPOSED_CONVOLUTION: "_ConvTransposeNd",
    Role.LINEAR: "Linear Bilinear",
    Role.EMBEDDING: "Embedding EmbeddingBag",
    Role.RECURRENT: "RNNBase RNNCellBase",
    Role.ATTENTION: "MultiheadAttention",
    Role.DROPOUT: "_DropoutNd DropPath StochasticDepth",
    Role.SOFTMAX: "Softmax LogSoftmax Softmin Softmax2d",
    Role.ACTIVATION: (
        "ReLU GELU SiLU Mish ELU CELU SELU LeakyReLU RReLU PReLU Hardswish Hardsigmoid Hardtanh Sigmoid Tanh LogSigmoid"
        " Softplus Softsign Tanhshrink Hardshrink Softshrink Threshold GLU"
    ),
    Role.POOLING: (
        "_MaxPoolNd _AvgPoolNd _AdaptiveAvgPoolNd _AdaptiveMaxPoolNd _LPPoolNd FractionalMaxPool2d FractionalMaxPool3d"
    ),
    Role.UPSAMPLING: "Upsample",
    Role.PADDING: "_ConstantPadNd _ReflectionPadNd _ReplicationPadNd _CircularPadNd",
    Role.MOVE: "Identity Sequential Flatten Unflatten PixelShuffle PixelUnshuffle ChannelShuffle Fold Unfold",
}

BY_MODULE: dict[str, Role] = {name: role for role, names in _MODULES.items() for name in names.split()}
"""Role by class name of a module, looked up along its bases."""


_OWN = frozenset({"aten", "prims", "torchvision", "quantized", "mkldnn", "onednn", "torchao"})
"""Namespaces of operators that do what their name says."""


def operator_name(target: Callable[..., Any] | str) -> str:
    """The bare name of an operator: no namespace, no overload, no trailing underscore.

    Args:
        target: A function, a method name or an `OpOverload`.

    Returns:
        For example `relu` for `torch.relu_`, `F.relu`, `"relu_"` and `aten.relu.default`; with its namespace for an
        operator of another library.
    """
    if isinstance(target, str):
        name = target
    else:
        packet = getattr(target, "overloadpacket", target)
        if isinstance(packet, OpOverloadPacket) and (namespace := packet._qualified_op_name.split("::")[0]) not in _OWN:
            return f"{namespace}::{packet.__name__}"  # what another library calls `flatten` may do anything
        name = getattr(packet, "__name__", type(target).__name__)
    name = name.split(".")[0]
    return name if name.startswith("__") else name.rstrip("_") or name


def operator_role(target: Callable[..., Any] | str) -> Role:
    """The role of a function or method, `OTHER` where the table has no entry."""
    if target is operator.getitem:
        return Role.PART
    return BY_OPERATOR.get(operator_name(target), Role.OTHER)


def module_role(module: nn.Module) -> Role:
    """The role of a leaf module, `OTHER` where the table has no entry."""
    if norm_kind(module) is not None:
        return Role.NORMALISATION
    for base in type(module).__mro__:
        role = BY_MODULE.get(base.__name__)
        if role is not None:
            return role
    return Role.OTHER
