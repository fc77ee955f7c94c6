"""What would let bnlint look further at one target: the option that helps there, or that none does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.powerful import is_powerful
from bnlint.artifacts.saved import Saved
from bnlint.facts.vocabulary import Need

_THE_MODEL: Final = "check the model that it was made from, an import string or a whole saved model"
_TRUST: Final = "`--trust`, if the file is from someone you trust: that code then runs, and the model can be traced"


def advice_for(artifact: Artifact, tracing: str = "") -> Mapping[Need, str]:
    """What a user can give for want of a source of facts, where the usual hint would not help.

    Args:
        artifact: The target.
        tracing: What would let its model be traced, in full; empty where it was, or where there is no model.

    Returns:
        Hints by source.
    """
    if artifact.module is not None:
        return {Need.GRAPH: tracing} if tracing else {}
    if artifact.saved is None:
        return dict.fromkeys((Need.MODULE, Need.MODE), f"{_THE_MODEL}: a program is no longer that model") | {
            Need.CODE: _code_of_program(artifact),
            Need.STATE: _values_of_program(artifact),
        }
    if not artifact.saved.modules:
        return {Need.MODULE: _with_weights(artifact.target, artifact.saved), Need.STATE: _READABLE}
    code = f"give {_TRUST}"
    powerful = [call for call in artifact.saved.unusual_calls if is_powerful(call)]
    if powerful:
        code = f"ask for the weights alone: loading this file would call `{powerful[0]}`"
    elif any(module.class_path.startswith("__main__.") for module in artifact.saved.modules):
        code = "save the model with its classes in a module: those of a script (`__main__`) can be found by no other"
    elif artifact.form == "torchscript":
        code = f"{_THE_MODEL}: bnlint does not run TorchScript"
    elif artifact.form == "package":
        code = f"{_THE_MODEL}: bnlint does not run the code in a file of torch.package"
    elif artifact.not_live and artifact.vetted and not artifact.would_allow:
        obstacle = artifact.not_live.removeprefix("Not traced: ").rstrip(".")
        code = f"mend what stands in the way ({obstacle}), or give {_TRUST}"
    elif artifact.would_allow:
        code = f"give {' '.join(f'`--allow {name}`' for name in artifact.would_allow)}, or {_TRUST}"
    return {Need.CODE: code, Need.MODULE: code, Need.STATE: _READABLE}


def _with_weights(name: str, saved: Saved) -> str:
    first, weights = (f"{saved.before_loading}, and ", "FILE") if saved.before_loading else ("", name)
    named = f"name the model that the weights belong to, `package.module:name --weights {weights}`"
    return f"{first}{named}, or give a whole saved model"


_READABLE: Final = (
    "save the weights so that their values can be read: by `torch.save` on this machine, or as safetensors"
)


def _code_of_program(artifact: Artifact) -> str:
    if artifact.onnx is not None:
        return f"{_THE_MODEL}: bnlint does not run ONNX"
    if artifact.not_live:
        return f"{_THE_MODEL}: the program could not be loaded"
    return (
        "give `--trust`, if the file is from someone you trust: torch then loads the program, and runs what it carries"
    )


def _values_of_program(artifact: Artifact) -> str:
    if artifact.onnx is not None:
        return "export the file with its weights in it: `external_data=False`"
    return _READABLE
