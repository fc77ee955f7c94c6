from __future__ import annotations

import pytest

from bnlint.errors import UsageError
from bnlint.ruleset.source import Key
from bnlint.ruleset.toml_source import read_toml_table

TEXT = """\
[project]
severity = "of something else"

[tool.bnlint] # comment
select = [
  "BN5",
]
severity.BN201 = "warning"
"fail_on" = "never"

[tool.bnlint.options]
BN301.minimum_values = 100

[tool.bnlint.options.'BN302']
x = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 4),
        (("select",), 5),
        (("select", 0), 5),
        (("severity", "BN201"), 8),
        (("fail_on",), 9),
        (("options", "BN301", "minimum_values"), 12),
        (("options", "BN302", "x"), 15),
        (("options", "BN302", "other"), 14),
        (("missing",), 4),
    ],
)
def test_the_line_of_a_key(path: tuple[Key, ...], line: int) -> None:
    source = read_toml_table(TEXT, "pyproject.toml", ("tool", "bnlint"))
    assert source is not None
    assert source.line(path) == line


def test_a_text_without_the_table() -> None:
    assert read_toml_table("[tool]\n", "pyproject.toml", ("tool", "bnlint")) is None
    assert read_toml_table("tool = 3\n", "pyproject.toml", ("tool", "bnlint")) is None


def test_what_is_no_toml() -> None:
    with pytest.raises(UsageError, match=r"^pyproject\.toml is not valid TOML: .*line 3"):
        read_toml_table("[tool.bnlint]\nselect = [\n]]", "pyproject.toml", ("tool", "bnlint"))
