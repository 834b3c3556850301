"""Files that are no scenario, or name what is no file: one problem, and never a traceback."""

import pytest

from harness import scenario
from harness.errors import ScenarioError


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", (1, 1), "the file is empty; a scenario begins with harness: 1"),
        (b"# nothing but a comment\n", (1, 1), "the file is empty; a scenario begins with harness: 1"),
        (b"\xef\xbb\xbf- 1", (1, 1), "the file is [1]; a scenario is a mapping, from harness: 1 on"),
        (b"canary", (1, 1), "the file is canary; a scenario is a mapping, from harness: 1 on"),
        (b"harness: 1\nname: caf\xe9\n", (2, 10), "the byte 0xE9 is no UTF-8; save the file as UTF-8"),
        ("harness: 1".encode("utf-16"), (1, 1), "UTF-16 or UTF-32; save the file as UTF-8"),
        (b"harness: 1\nname: \x00\n", (2, 7), "the character U+0000 may not stand in YAML"),
        (
            b"harnes: 1\n",
            (1, 1),
            "harness is missing; only a file with the key harness: 1 is a scenario; harnes is mis",
        ),
        (b"harness: 1\nexpect: " + b"[" * 5000, (2, 48), "nested more than 40 deep"),
        (b"harness: 1\nexpect: &a [*a]", (2, 13), "the alias *a stands inside of what it names"),
        (b'harness: 1\nname: "\\U00110000"', (1, 1), "not YAML: chr() arg not in range(0x110000)"),
        (
            b"harness: 1\nexpect: [a\n",
            (3, 1),
            "not YAML: expected ',' or ']', but got '<stream end>' (while parsing a fl",
        ),
        (b"%YAML 3.0\n---\nharness: 1", (1, 1), "not YAML: found incompatible YAML document"),
        (b"harness: 1\n" + b"#" * 1_000_000, (0, 0), "larger than 1 MB; this is no scenario"),
    ],
)
def test_what_is_no_scenario_is_one_problem(content, place, message, tmp_path, catalog):
    file = tmp_path / "canary.yaml"
    file.write_bytes(content)
    with pytest.raises(ScenarioError) as raised:
        scenario.load(file, catalog)
    (found,) = raised.value.problems
    assert (found.line, found.column) == place
    assert found.message.startswith(message)


def test_aliases_of_aliases_are_stopped_before_they_fill_the_memory(problems):
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    (found,) = problems("\n".join(["harness: 1", "a0: &a0 [lol]", *levels]))
    assert found.message == "more than 50000 values; aliases count each time"
    assert found.line == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.yaml", "no such file"), (".", "this is a folder; name a scenario file"), ("a\0b", "embedded null byte")],
)
def test_a_file_that_cannot_be_read_is_told_without_a_line(name, message, tmp_path, catalog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError) as raised:
        scenario.load(name, catalog)
    assert str(raised.value) == f"{name}: {message}".replace("\0", "\0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no header line with the names of its columns"),
        (b"\xff\xfe\x00", "its first line cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_data_file_without_a_header_is_told(content, message, valid, problems, folder):
    (folder / "data" / "churn.csv").write_bytes(content)
    (found,) = problems(valid)
    assert found.message.startswith(f"model.data.source is data/churn.csv; {message}")


def test_a_damaged_zip_is_told(valid, problems, folder):
    (folder / "data" / "churn.csv.gz").write_bytes(b"age,churn")
    (found,) = problems(valid.replace("churn.csv", "churn.csv.gz"))
    assert "its first line cannot be read: Not a gzipped file" in found.message


def test_no_control_character_of_a_file_reaches_the_terminal(valid, problems):
    for each in problems(valid.replace("virtual", r'"\x1b[31m"').replace("seed:", r'"\x1b\n":')):
        assert str(each).isprintable()
