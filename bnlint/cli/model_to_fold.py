"""Opens the model that `bnlint fold` and `bnlint verify` work on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.call_warning import warning_of_calls
from bnlint.artifacts.powerful import is_powerful
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.opening import is_regular

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from bnlint.artifacts.artifact import Artifact


@dataclass(frozen=True)
class ModelToFold:
    """A model with weights.

    Attributes:
        target: What the user named.
        model: The model: a module, or a program.
        form: Form of the file that the weights come from, as in `Artifact`; `module` where there is none.
        file: That file; `None` for an import string without weights.
        notes: Remarks on how it was read.
    """

    target: str
    model: nn.Module | ExportedProgram
    form: str
    file: Path | None
    notes: tuple[str, ...]


def open_model(
    target: str,
    *,
    weights: str | None,
    kwargs: Mapping[str, Any] | None,
    trust: bool,
    evaluate: bool,
    key: str = "",
    allow: Iterable[str] = (),
) -> ModelToFold:
    """Read a model, and put it in eval mode where bnlint may.

    Args:
        target: A file with a whole model or an exported program, or an import string.
        weights: A file of weights for the model.
        kwargs: Arguments of the factory.
        trust: Whether code that a file carries may run.
        evaluate: Put the model in eval mode whatever it was saved in. A model that bnlint itself assembled from a
            factory and weights has no mode that its owner chose, and is put in eval mode anyway.
        key: Which of several models or sets of weights in the file, such as `ema`; the usual one by default.
        allow: Packages whose classes a whole model in a file may be made of, beside those of `torch.nn`.

    Raises:
        UsageError: If the target holds weights alone, or names nothing.
        NotAnalysedError: If it cannot be read.
    """
    from bnlint.artifacts.program_file import is_program, load_program
    from bnlint.artifacts.read import read
    from bnlint.tracing.copying.unwrapped import unwrapped
    from bnlint.tracing.door import answering_for_a_model
    from bnlint.tracing.live import named_modules
    from bnlint.user_objects import is_set

    if is_program(Path(target)):
        if weights is not None or kwargs or key:
            options = "`--weights`, `--key` and `--kwargs`"
            raise UsageError(f"`{target}` is a program with weights: {options} are for a model.")
        program = load_program(Path(target), target, trust=trust)
        return ModelToFold(target, program, "exported_program", Path(target), ())
    with answering_for_a_model("read"):
        artifact = read(target, weights=weights, kwargs=kwargs, trust=trust, key=key, allow=allow)
        module = unwrapped(_live(artifact)).module
    notes = artifact.notes
    if evaluate or not artifact.mode_known:
        if any(is_set(layer, "training") for _, layer in named_modules(module)):
            notes = (*notes, "The model was put in eval mode.")
        with answering_for_a_model("put in eval mode"):
            module.eval()
    source = weights if weights is not None else target
    return ModelToFold(
        target=target,
        model=module,
        form=artifact.weights_form or artifact.form,
        file=Path(source) if is_regular(source) else None,
        notes=notes,
    )


def _live(artifact: Artifact) -> nn.Module:
    """The live model of a target.

    Raises:
        UsageError: If the target can hold none that folds.
        NotAnalysedError: If it holds one that was not loaded.
    """
    if artifact.module is not None:
        return artifact.module
    calls = artifact.saved.unusual_calls if artifact.saved is not None else ()
    with warning_of_calls(artifact.target, filter(is_powerful, calls)):
        raise _none_to_fold(artifact)


def _none_to_fold(artifact: Artifact) -> BnlintError:
    target = artifact.target
    if artifact.form == "torchscript":
        cause = f"`{target}` is a TorchScript program, and bnlint folds models of Python code."
        return UsageError(cause, "Fold the model that it was made from, and script or trace that again.")
    if artifact.form == "package":
        cause = f"`{target}` is a file of torch.package, and bnlint does not run the code in it."
        return UsageError(cause, "Name the model by an import string, or save it with `torch.save`.")
    if artifact.onnx is not None:
        return UsageError(f"`{target}` is an ONNX file, and bnlint folds models of torch.", "Fold before the export.")
    if artifact.saved is not None and artifact.saved.modules:
        cause = f"`{target}` is a whole model, and folding has to run it. {artifact.not_live}"
        return NotAnalysedError(cause, "Or give `--trust`, if the file is from someone you trust: its code then runs.")
    return UsageError(
        f"`{target}` holds weights without the model that they belong to.",
        f"Name the model, and give them as its weights: `package.module:name --weights {target}`.",
    )
