"""Files of settings and rules are input too: what is in them ends in one sentence with file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bnlint.config import read_config
from bnlint.errors import UsageError
from bnlint.ruleset.limits import LARGEST_FILE, MOST_DEPTH, MOST_DIGITS
from bnlint.ruleset.toml_source import read_toml_table
from bnlint.ruleset.yaml_source import parse_yaml

DEEP = f"nested more than {MOST_DEPTH} levels deep."
DIGITS = f"a number of more than {MOST_DIGITS} digits."


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


YAML = {
    "lists in brackets": ("\nignore: " + "[" * 50_000 + "]" * 50_000, f"2: {DEEP}"),
    "mappings in brackets": ("ignore: " + "{a: " * 50_000, f"1: {DEEP}"),
    "lists without brackets": ("- " * 50_000, f"1: {DEEP}"),
    "keys that are mappings": ("? " * 50_000, f"1: {DEEP}"),
    "a level a line": ("\n".join(f"{' ' * level}a:" for level in range(1200)), f"{MOST_DEPTH + 1}: {DEEP}"),
    "two levels a line": ("\n".join(f"{'  ' * level}- a:" for level in range(300)), f"{MOST_DEPTH // 2 + 1}: {DEEP}"),
    "an alias": ("a: &a [x, x]\nb: [*a, *a]", "1: anchors and aliases cannot be used here."),
    "laughs": (
        "a: &a [x]\n" + "\n".join(f"{b}: &{b} [{f'*{a},' * 9}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "1: anchors and aliases cannot be used here.",
    ),
    "a list that holds itself": ("a: &a [*a]", "1: anchors and aliases cannot be used here."),
    "a key to be merged": ("<<: {a: 1}", '1: the key "<<" is not a text for YAML; write it in quotation marks.'),
    "digits": ("batch_size: " + "9" * 10_000, f"1: {DIGITS}"),
    "hexadecimal digits": ("batch_size: 0x" + "f" * 10_000, f"1: {DIGITS}"),
    "sixtieths": ("batch_size: 1" + ":1" * 10_000, f"1: {DIGITS}"),
    "more than 64 bits": ("\n\nbatch_size: 99999999999999999999", "3: the number takes more than 64 bits."),
    "fewer than 64 bits": ("batch_size: -9223372036854775809", "1: the number takes more than 64 bits."),
    "beyond floats": ("options: {BN301: {minimum_values: 1e999}}", "1: the number inf is not finite."),
    "infinity": ("options: {BN301: {minimum_values: -.inf}}", "1: the number -inf is not finite."),
    "no number": ("options: {BN301: {minimum_values: .nan}}", "1: the number nan is not finite."),
    "a count below 1": ("batch_size: -3", '1: "batch_size" must be 1 or more.'),
    "a date": ("select: [2020-01-01]", '1: "2020-01-01" is a date for YAML; write it in quotation marks.'),
    "a date that is none": ("select: [2020-99-01]", '1: "2020-99-01" is a date for YAML; write it in quotation marks.'),
    "bytes": ("select: !!binary aGk=", "1: the tag `!!binary` cannot be used here."),
    "a set": ("select: !!set {a}", "1: the tag `!!set` cannot be used here."),
    "an ordered mapping": ("select: !!omap [a: 1]", "1: the tag `!!omap` cannot be used here."),
    "a call": (
        "select: !!python/object/apply:os.system [ls]",
        "1: the tag `!!python/object/apply:os.system` cannot be used here.",
    ),
    "a name": ("select: !!python/name:os.system", "1: the tag `!!python/name:os.system` cannot be used here."),
    "a tag that lies of a number": ("select: !!int foo", '1: "foo" is not what its tag `!!int` says.'),
    "a tag that lies of a truth": ("select: !!bool foo", '1: "foo" is not what its tag `!!bool` says.'),
    "a number without digits": ("batch_size: 0x_", '1: "0x_" is not what its tag `!!int` says.'),
    "a control character": ("a: b\nc: \x01", "2: not valid YAML: control characters are not allowed."),
    "half a character": ('a: "\\ud800"', "1: not valid YAML: found invalid Unicode character escape code."),
    "a tab": ("\tselect: [BN1]", "1: not valid YAML: found character that cannot start any token."),
    "a key twice": ("select: [BN1]\nselect: [BN2]", '2: the key "select" stands here a second time.'),
    "a long key": ("k" * 500_000 + ": 1", "1: not valid YAML: mapping values are not allowed in this context."),
    "a key of 1,000": ("k" * 1000 + ": 1", f'1: unknown key "{"k" * 1000}"; the keys here are'),
    "two documents": ("a: 1\n---\nb: 2", "2: not valid YAML: but found another document."),
    "NUL in a name": ('rules: [own, "a\\0b"]', '1: "a\\x00b" cannot be a folder: its name holds a NUL character.'),
    "a long name": ("rules:\n- " + "x" * 300, f'2: "{"x" * 300}" cannot be a folder: File name too long.'),
    "nothing": ("# nothing", "1: the file is empty."),
}

TOML = {
    "arrays": ("a = " + "[" * 50_000, f"2: {DEEP}"),
    "arrays over lines": ("a = [\n" + "[\n" * 50_000, f"{MOST_DEPTH + 1}: {DEEP}"),
    "tables": ("a = " + "{a = " * 50_000, f"2: {DEEP}"),
    "a key of many parts": ("a." * 20_000 + "a = 1", f"2: {DEEP}"),
    "a header of many parts": ("[" + "a." * 20_000 + "a]", f"2: {DEEP}"),
    "a key of many parts with spaces": ("\n" + "a . " * 20_000 + "a = 1", f"3: {DEEP}"),
    "a key of many parts in quotation marks": ("'a'.\"a\"." * 20_000 + "a = 1", f"2: {DEEP}"),
    "keys of many parts in tables": ("a = " + ("a." * 20 + "a = {") * 5_000, f"2: {DEEP}".replace("a = ", "")),
    "digits": ("batch_size = " + "9" * 10_000, f"2: {DIGITS}"),
    "digits in a list": ("a = [1,\n-" + "9_9" * 10_000 + "]", f"3: {DIGITS}"),
    "more than 64 bits": ("batch_size = 0xffffffffffffffffffff", "2: the number takes more than 64 bits."),
    "beyond floats": ("options.BN301.minimum_values = 1e999", "2: the number inf is not finite."),
    "no number": ("options.BN301.minimum_values = nan", "2: the number nan is not finite."),
    "a date": ("select = [2020-01-01]", '2: "2020-01-01" is a date for TOML; write it in quotation marks.'),
    "a time": ("select = [07:32:00]", '2: "07:32:00" is a date for TOML; write it in quotation marks.'),
    "a date that is none": ("select = [2020-99-01]", " is not valid TOML: Unclosed array (at line 2, column 15)."),
    "a count below 1": ("batch_size = 0", '2: "batch_size" must be 1 or more.'),
    "half a character": ('select = ["\\ud800"]', " is not valid TOML: Escaped character is not a Unicode scalar value"),
    "a text without an end": ('x = """' + "a" * 500_000, " is not valid TOML: Unterminated string"),
    "a key twice": ("x = 1\nx = 2", " is not valid TOML: Cannot overwrite a value (at end of document)."),
    "NUL in a name": (
        'rules = ["a\\u0000b"]',
        '2: "a\\x00b" cannot be a folder: its name holds a NUL character.',
    ),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str) -> None:
    text, words = YAML[name]
    Path("bnlint.yaml").write_text(text, encoding="utf-8")
    assert says("bnlint.yaml").startswith(f"bnlint.yaml:{words}")


@pytest.mark.parametrize("name", TOML)
def test_toml(name: str) -> None:
    text, words = TOML[name]
    Path("pyproject.toml").write_text(f"[tool.bnlint]\n{text}", encoding="utf-8")
    assert says("pyproject.toml").removeprefix("pyproject.toml").removeprefix(":").startswith(words)


def says(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        read_config(name)
    return str(caught.value)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a sparse file": (sparse, "it has more than 1000000 bytes"),
    "a byte too many": (lambda path: path.write_text("#" * (LARGEST_FILE + 1)), "it has more than 1000000 bytes"),
    "UTF-16": (lambda path: path.write_text("select: [BN1]", encoding="utf-16"), "it is not UTF-8 text"),
    "a folder": (Path.mkdir, "it is a folder, not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("name", ["bnlint.yaml", "pyproject.toml"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read(kind: str, name: str) -> None:
    make, words = UNREADABLE[kind]
    make(Path(name))
    assert says(name) == f"{name} cannot be read: {words}."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.yaml", "select: [BN5]\nbatch_size: 8\n"),
        ("x.toml", '[tool.bnlint]\nselect = ["BN5"]\nbatch_size = 8\n'),
    ],
)
@pytest.mark.parametrize("windows", [False, True])
def test_what_editors_of_windows_write_is_read(name: str, text: str, windows: bool) -> None:
    data = text.replace("\n", "\r\n").encode("utf-8-sig") if windows else text.encode()
    Path(name).write_bytes(data)
    config = read_config(name)
    assert (config.layer.settings.select, config.options.batch_size) == (("BN5",), 8)


def test_as_deep_as_is_allowed() -> None:
    inner: object = []
    for _ in range(MOST_DEPTH - 1):
        inner = [inner]
    text = str(inner)
    assert parse_yaml(text, "x", UsageError).data == inner
    assert parse_yaml(" " * 2000 + text, "x", UsageError).data == inner, "looked at a second time"
    with pytest.raises(UsageError, match="nested"):
        parse_yaml(f"[{text}]", "x", UsageError)
    table = read_toml_table(f"[t]\na = {text[1:-1]}", "x", ("t",))
    assert table is not None
    assert [table.data["a"]] == inner


@pytest.mark.parametrize(
    "text",
    [
        'a = "[[[[" # {{{{\nb = \'\'\'\n[[[[ "\n\'\'\'\nc = """ \\""" [[ """',
        "a = '''''[''''' \nb = \"\"\"\"[\"\"\"\"",
        "a.b.c = 1.5e3\nd = [1.5, 2.5, [3.5]] # a.b.c.d\n[x.'y.z'.\"[\"]\n12_000 = 0x1f",
        'a = "C:\\\\" # "[["\nb = {c = 1, d = [2]}',
    ],
)
def test_brackets_and_dots_in_texts_and_comments_do_not_nest(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnlint.ruleset.toml_source.MOST_DEPTH", 4)
    assert read_toml_table(text, "x", ()) is not None


def test_arguments_may_be_what_settings_may_not() -> None:
    text = "{depths: {1: 2, 3: [4]}, limit: .inf, scale: 1e-5, name: null, flag: yes}"
    found = parse_yaml(text, "--kwargs", UsageError, for_settings=False).data
    assert found == {"depths": {1: 2, 3: [4]}, "limit": float("inf"), "scale": 1e-5, "name": None, "flag": True}
    for wrong in ("[" * 3000, "{a: " + "9" * 5000 + "}", "{a: &x [1], b: *x}", "{a: \udcff}", "{a: !!python/name:os}"):
        with pytest.raises(UsageError, match=r"^--kwargs:1: "):
            parse_yaml(wrong, "--kwargs", UsageError, for_settings=False)
