import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.document import MOST_DEEP, MOST_NODES, Unreadable, parse, read

TEXT = """\
# rules
people:
  ada: {via: pd-ada, user: "7"}
routes:
  - matchers: [a=b, 'c="d"']
    policy: p
"""


def place(document, *route, key=False):
    at = (document.keys if key else document.values)[route]
    return at.line, at.column, at.width


def refused(text):
    with pytest.raises(Unreadable) as unreadable:
        parse(text, "f.yaml")
    return str(unreadable.value), unreadable.value.place.line, unreadable.value.place.column


def test_every_key_and_value_knows_where_it_was_written():
    document = parse(TEXT, "f.yaml")
    assert place(document, "people", key=True) == (2, 1, 6)
    assert place(document, "people", "ada", "via") == (3, 14, 6)
    assert place(document, "people", "ada", "user") == (3, 28, 3)
    assert place(document, "routes", 0, "matchers", 1) == (5, 21, 7)
    assert place(document, "routes", 0, "policy", key=True) == (6, 5, 6)
    assert str(document.data["people"]["ada"].place) == "f.yaml:3"
    assert str(document.data["routes"][0].place) == "f.yaml:5"


SCALARS = [  # as YAML 1.2 has it, not 1.1
    ("21:00", "21:00"),
    ("12:30:45", "12:30:45"),
    ("off", "off"),
    ("on", "on"),
    ("yes", "yes"),
    ("no", "no"),
    ("NO", "NO"),
    ("2026-01-05", "2026-01-05"),
    ("2026-01-05T10:00", "2026-01-05T10:00"),
    ("010", "010"),
    ("0x1f", "0x1f"),
    ("1_000", "1_000"),
    ("=", "="),
    ("true", True),
    ("false", False),
    ("True", "True"),
    ("null", None),
    ("~", None),
    ("", None),
    ("7", 7),
    ("-7", -7),
    ("+7", 7),
    ("0", 0),
    ("1.5", 1.5),
    ("1e3", 1000.0),
    (".nan", ".nan"),
    ("'7'", "7"),
    ("!!str 7", "7"),
    ("a=b", "a=b"),
]


@pytest.mark.parametrize(("written", "meant"), SCALARS)
def test_scalars_are_what_they_look_like(written, meant):
    value = parse(f"a: {written}\n", "f.yaml").data["a"]
    assert (value, type(value)) == (meant, type(meant))


REFUSED = [  # what is written; what is said, line, column
    ("a: 1\na: 2\n", '"a" is written twice', 2, 1),
    ("a:\n  b: 1\n  c: {x: 1, x: 2}\n", '"x" is written twice', 3, 13),
    ("a: [1\nb: 2\n", "while parsing a flow sequence: did not find expected ',' or ']'", 2, 2),
    ("a:\n\t- b\n", "while scanning for the next token: found character that cannot start any token", 2, 1),
    ("a: 'x\n", "while scanning a quoted scalar: found unexpected end of stream", 2, 1),
    ("a: *x\n", "found undefined alias", 1, 4),
    ("a: &a [*a]\n", "contains itself", 1, 1),
    ("a: 1\n---\nb: 2\n", "expected a single document in the stream: but found another document", 2, 1),
    ("a: !!python/object:os.system x\n", "the tag tag:yaml.org,2002:python/object:os.system is not understood", 1, 4),
    ("a: !secret x\n", "the tag !secret is not understood", 1, 4),
    ("a: !!python/name:os.system {b: 1}\n", "the tag tag:yaml.org,2002:python/name:os.system is not understood", 1, 4),
    ("a: !!set [b]\n", "the tag tag:yaml.org,2002:set is not understood", 1, 4),
    ("? [a]\n: b\n", "a key must be a word", 1, 3),
    ("a: 1\nb:\n  <<: {c: 1}\n", '"<<" (merge) is not part of YAML 1.2', 3, 3),
    ("a: 1\nb: \x00\n", "has a character YAML does not allow: control characters are not allowed", 2, 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said", "line", "column"), REFUSED)
def test_what_is_not_yaml_is_told_with_its_place(text, said, line, column):
    words, *at = refused(text)
    assert words.startswith(said)
    assert at == [line, column]


def test_what_is_written_twice_is_told_at_once_and_the_rest_is_read():
    with pytest.raises(Unreadable) as unreadable:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}\nd: 3\n", "f.yaml")
    first = unreadable.value
    assert [(str(one), one.place.line, one.line) for one in (first, *first.others)] == [
        ('"a" is written twice', 2, "a: 2"),
        ('"c" is written twice', 3, "b: {c: 1, c: 2}"),
    ]
    assert first.document.data == {"a": 1, "b": {"c": 1}, "d": 3}


def test_an_empty_file_holds_nothing_and_is_fine():
    assert parse("", "f.yaml").data == {}
    assert parse("# nothing yet\n", "f.yaml").data == {}


def test_a_byte_order_mark_and_foreign_line_ends_are_read():
    assert parse("\ufeffa: 1\r\nb: 2\r\n", "f.yaml").data == {"a": 1, "b": 2}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_without_end_does_not_end_the_process(opening):
    """In a process of its own: what this guards against is a crash of the interpreter."""
    code = f"from relay.config.document import parse\nparse({opening!r} * 200_000, 'f.yaml')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"is nested more than {MOST_DEEP} levels deep" in run.stderr


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert refused("\n".join(lines))[0] == f"has more than {MOST_NODES:,} values"


def test_a_file_that_is_not_text_says_so(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(Unreadable, match=r"is not UTF-8 text \(byte 3\)"):
        read(path)
    with pytest.raises(Unreadable, match="cannot be read: No such file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(Unreadable, match="cannot be read: Is a directory"):
        read(tmp_path)


@given(st.text())
def test_any_text_is_a_document_or_a_complaint_with_a_line(text):
    try:
        places = [*parse(text, "f.yaml").values.values()]
    except Unreadable as unreadable:
        places = [unreadable.place]
    lines = len(text.splitlines())
    assert all(1 <= place.line <= lines + 1 for place in places)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(st.characters(codec="ascii", categories="LN")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), plain))
def test_json_is_yaml_and_every_value_has_a_place(data):
    document = parse(json.dumps(data), "f.json")
    assert document.data == data

    def routes(value, route=()):
        yield route
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, inner in items:
            yield from routes(inner, (*route, step))

    assert set(routes(data)) == document.values.keys()
