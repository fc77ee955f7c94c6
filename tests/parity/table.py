"""The parity table: which fact each form of a model holds, which it does not, and where it rightly says another thing.

A cell of `TABLE` is `=`, the value of the live model for every layer; `.`, unknown for every layer; or the key of a
note in `tests/parity/notes.py`, which says of which layers the fact is unknown, and what the form says instead. A fact
without a row, and a note that no cell has, fail the tests. The columns are kinds of forms: `tests/parity/forms.py` puts
every form into one.
"""

from __future__ import annotations

from functools import cache
from typing import Final

COLUMNS: Final = {
    "code": "whole model, `--allow` or `--trust`",
    "whole": "whole model, as data",
    "weights": "weights",
    "program": "`.pt2`",
    "scripted": "TorchScript, scripted",
    "traced": "TorchScript, traced",
    "onnx": "ONNX",
}
"""The columns, with their headings."""

TABLE: Final = """
                                       code whole weights     program   scripted traced    onnx
layer                                  =    =     =           =         =        =         =
kind                                   =    =     kind        =         =        =         =
class_name                             =    =     .           .         =        =         .
spatial_dims                           =    dims  .           .         dims     dims      .
functional                             =    =     =           =         =        =         =
registered                             =    =     .           absent    =        =         =
training                               =    =     .           flags     =        baked     none
model_training                         =    =     .           flags     =        =         none
uses_batch_statistics                  =    =     .           absent    =        =         inference
ignores_eval                           =    =     .           ignores   =        ignores   ignores
mixes_samples                          =    graph graph       by_hand   follows  code      =
learns_statistics                      =    =     .           held      =        =         by_hand
parameters_frozen                      =    =     .           .         =        =         .
training_after_eval                    =    .     .           none      .        .         none
held_in_training_by                    =    .     .           =         .        .         =
training_after_train                   =    .     .           none      .        .         none
momentum                               =    =     .           average   =        average   average
eps                                    =    =     .           eps       =        eps       eps
eps_is_lost                            =    =     .           eps       =        eps       eps
synchronised                           =    =     .           .         =        =         .
affine                                 =    =     =           =         =        =         apart
has_running_statistics                 =    =     =           =         =        =         dropped
missing_statistic                      =    =     =           =         =        =         =
channels                               =    =     =           =         =        =         parts
dtype                                  =    =     =           =         =        =         parts
has_batch_counter                      =    =     =           =         =        =         no_counter
batches_counted                        =    =     =           =         =        =         counter
statistics_at_initial_values           =    =     =           =         =        =         without
affine_at_initial_values               =    =     =           =         =        =         scale
nonfinite_tensors                      =    =     =           =         =        =         apart
negative_variances                     =    =     =           =         =        =         without
zero_variances                         =    =     =           =         =        =         without
channels_scaled_by_eps                 =    =     takes_eps   takes_eps =        takes_eps without
zero_scale_share                       =    =     =           =         =        =         apart
range_exceeded_by                      =    =     takes_eps   takes_eps =        takes_eps apart
others_with_statistics                 =    =     =           =         =        =         others
usual_batches_counted                  =    =     =           =         =        =         counter
batches_counted_ratio                  =    =     =           =         =        =         counter
calls                                  =    .     .           by_hand   .        .         =
fed_by                                 =    .     .           by_hand   .        .         =
feeds                                  =    .     .           by_hand   .        .         =
identity_branch                        =    .     .           by_hand   .        .         =
dropout_before                         =    .     .           by_hand   .        .         dropout
bias_before                            =    .     .           by_hand   .        .         =
streams                                =    .     .           by_hand   .        .         =
sequence_evidence                      =    .     .           by_hand   .        .         =
foldable                               =    graph graph       graph     graph    graph     graph
folds_into                             =    graph graph       graph     graph    graph     graph
left_in_onnx                           =    =     =           =         =        =         left
fold_obstacle                          =    graph graph       graph     graph    graph     graph
input_shape                            =    .     .           by_hand   .        .         =
channel_axis                           =    .     .           by_hand   .        .         =
channel_axis_is_feature_axis           =    .     .           by_hand   .        .         =
as_many_channels_as_features           =    .     .           by_hand   .        .         =
values_per_sample                      =    .     .           by_hand   .        .         =
values_per_channel                     =    .     .           by_hand   .        .         =
traffic_megabytes                      =    .     .           by_hand   .        .         =
batch_size                             =    =     =           =         =        =         =
devices                                =    =     =           =         =        =         =
accumulate                             =    =     =           =         =        =         =
last_batch_size                        =    =     =           =         =        =         =
last_batch_share                       =    =     =           =         =        =         =
values_in_last_batch                   =    .     .           by_hand   .        .         =
statistics_move_in_eval                =    .     .           .         .        .         .
updates_per_forward                    =    .     .           .         .        .         .
padding_enters_statistics              =    .     .           .         .        .         .
statistics_distance                    =    .     .           .         .        .         .
own_statistics_distance                =    .     .           .         .        .         .
median_statistics_distance             =    .     .           .         .        .         .
data_mean_shift                        =    .     .           .         .        .         .
data_spread_ratio                      =    .     .           .         .        .         .
worst_channel                          =    .     .           .         .        .         .
worst_channel_distance                 =    .     .           .         .        .         .
model.class_name                       =    =     .           .         =        =         .
model.form                             form form  form        form      form     form      form
model.training                         =    =     .           none      =        =         none
model.dropouts_ignoring_eval           =    .     .           drops     .        .         drops
model.batch_norms_exported_in_training =    =     =           =         =        =         trained
model.norm_layers                      =    shown shown       shown     shown    shown     shown
model.batch_norm_layers                =    =     shown_batch =         =        =         shown_batch
model.graph                            =    road  road        road      road     road      road
model.graph_reason                     =    =     =           =         =        =         =
model.can_be_traced                    =    data  data        =         data     data      =
model.norm_calls                       =    .     .           calls     .        .         calls
model.calls_on_loading                 file file  file        =         file     file      =
model.powerful_calls                   =    =     =           =         =        =         =
model.foreign_calls                    =    =     =           =         =        =         =
model.output_depends_on_batch          =    .     .           .         .        .         .
model.samples_meet_in                  =    .     .           .         .        .         .
model.samples_meet_in_batch_norm       =    .     .           .         .        .         .
"""


@cache
def cells() -> dict[str, dict[str, str]]:
    """The cells by fact and column; facts of the model begin with `model.`."""
    columns, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {fact: dict(zip(columns, row, strict=True)) for fact, *row in rows}
