"""YAML is read as kubectl reads it, and every mistake is given with its place."""

from pathlib import Path

import pytest
from edge_etl_operator.yaml_reader import YamlError, parse, read_documents


def value(text: str) -> object:
    (document,) = parse(text, "job.yaml")
    return document.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-01-01T00:00:00Z", "2015-01-01T00:00:00Z"),
        ("1:30", "1:30"),
        ("1e3", 1000),
        ("0x1F", 31),
        ("017", 15),
        ("1_000", 1000),
        ("1.0", 1),
        ("-1.5e-3", -0.0015),
        ("yes", True),
        ("'yes'", "yes"),
        ("!!str 5", "5"),
        ("~", None),
        ("08", 8),
        ("- a", ["a"]),
        ("{5: a, true: b}", {"5": "a", "true": "b"}),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        (
            "{a: &x {b: 1}, c: {<<: [*x, {b: 3, e: 4}], b: 2}}",
            {"a": {"b": 1}, "c": {"b": 2, "e": 4}},
        ),
    ],
)
def test_a_value_is_what_kubectl_makes_of_it(text: str, expected: object) -> None:
    found = value(
        f"x: {text}" if not text.startswith("-") or text[1:2].isdigit() else f"x:\n{text}"
    )
    assert found == {"x": expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "job.yaml:1:9: not valid YAML: expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3", 'job.yaml:3:1: the key "a" occurs twice'),
        ("a:\n\tb: 1", "job.yaml:2:1: not valid YAML: found character '\\t'"),
        ("a: .nan", "job.yaml:1:4: .nan is no number in JSON"),
        ("a: 1e999", "job.yaml:1:4: 1e999 is no number in JSON"),
        ("a: !!binary aGk=", "job.yaml:1:4: the value 'aGk=' cannot have the tag binary"),
        ("a: !mine x", "job.yaml:1:4: the value 'x' cannot have the tag !mine"),
        ("[a, b]: c", "job.yaml:1:1: a key must be text"),
        ("a: &x [*x]", "job.yaml:1:4: an anchor contains itself"),
        ("a: \x01", "job.yaml:1: not a YAML file: it holds the character #x0001"),
    ],
)
def test_a_mistake_is_given_with_its_place(text: str, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        list(parse(text, "job.yaml"))
    assert str(caught.value).startswith(message)


def test_a_binary_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"PAR1\xff\xfe\x00")
    with pytest.raises(YamlError, match=r"job\.yaml: not a YAML file: byte 4 is not UTF-8"):
        read_documents(tmp_path / "job.yaml")


def test_each_value_has_its_place() -> None:
    (document,) = parse("a:\n  - b: 1\n    c: 2\n", "job.yaml")
    assert document.place(("a", 0, "c")) == "job.yaml:3:5"
    assert document.place(("a", 0, "absent", "deeper")) == "job.yaml:2:5"
    assert document.place(("elsewhere",)) == "job.yaml:1:1"


def test_empty_documents_are_left_out() -> None:
    assert [each.value for each in parse("---\n---\na: 1\n---\n# nothing\n", "x")] == [{"a": 1}]
