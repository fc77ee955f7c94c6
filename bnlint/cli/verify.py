"""`bnlint verify`: checks a folded file against its original."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnlint.cli.call import in_its_own_process
from bnlint.cli.help import HelpfulCommand
from bnlint.cli.options import debug_option, options_on
from bnlint.cli.progress import progress_bar
from bnlint.cli.streams import write
from bnlint.opening import is_meant, require_regular

if TYPE_CHECKING:
    from bnlint.cli.verify_model import Verified

STAGES = ("reading", "folding")
_FUNCTION = "bnlint.cli.verify_model:verify_files"


@click.command(cls=HelpfulCommand, short_help="Check a folded file against its original.")
@click.argument("folded", type=Path)
@click.option("--against", required=True, metavar="FILE", help="The original: its weights, or the whole model.")
@click.option("--model", metavar="IMPORT", help="The model that the weights belong to, as package.module:name.")
@options_on("reading", without=("weights",))
@click.option(
    "--verify-inputs", multiple=True, metavar="FILE", help="Inputs with values, beside random ones: .pt, .npz, .npy …"
)
@debug_option
def verify(*, folded: Path, against: str, model: str | None, **options: Any) -> int:
    """Check that FOLDED is what folding its original gives.

    The hashes in the record beside it are compared with both files, the original is folded again, and weights and
    outputs are compared. The exit code is 0 if all agree, 1 if something differs, 3 if that cannot be decided.

    \b
      bnlint verify folded.safetensors --against r18.pth --model torchvision.models:resnet18
      bnlint verify folded.pt --against model.pt --allow torchvision
    """  # noqa: D301 - click needs the character itself
    if not is_meant(folded):
        from bnlint.artifacts.missing import missing_file

        raise missing_file(str(folded))
    require_regular(folded, str(folded))
    question = {"folded": folded, "against": against, "model": model, **options}
    with progress_bar(STAGES) as progress:
        found: Verified = in_its_own_process(_FUNCTION, question, model or against, progress)
    for sentence in found.differences:
        write(f"{sentence}\n")
    if found.differences:
        write(found.other_versions)
        write(f"`{folded.name}` is not what folding `{Path(against).name}` gives\n")
        return 1
    far = f"the outputs differ by {found.error:.1e} of their size (tolerance {found.tolerance:.0e})"
    assumed = f" on {found.inputs_assumed} (assumed, see --input)" if found.inputs_assumed else ""
    hashes = "both hashes are those of the record" if found.has_record else "no record beside it"
    write(f"verified: {far}{assumed}, {hashes}\n")
    return 0
