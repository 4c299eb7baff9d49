"""Alertmanager's matchers, as its documentation and its parsers define them."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from relay.config.matchers import all_match, compile_regex, parse_matcher

SYNTAX = [  # what is written; name, operator, value
    ("a=b", "a", "=", "b"),
    ('a="b"', "a", "=", "b"),
    ('a!="b"', "a", "!=", "b"),
    ('a=~"b.*"', "a", "=~", "b.*"),
    ('a!~"b|c"', "a", "!~", "b|c"),
    (' a  =~  "b" ', "a", "=~", "b"),
    ("a=b.c-d/e:f+g*?[h](i)|^$", "a", "=", "b.c-d/e:f+g*?[h](i)|^$"),
    ("a=", "a", "=", ""),
    ('a=""', "a", "=", ""),
    ("a=~", "a", "=~", ""),
    ('{a="b"}', "a", "=", "b"),
    ('{ a="b" }', "a", "=", "b"),
    ("a:b=c", "a:b", "=", "c"),
    # UTF-8 names, bare and quoted
    ("größe=XL", "größe", "=", "XL"),
    ("k8s.pod.name=web", "k8s.pod.name", "=", "web"),
    ('"name with spaces"="x"', "name with spaces", "=", "x"),
    ('"a\\"b"="x"', 'a"b', "=", "x"),
    ('"{}"=~"x"', "{}", "=~", "x"),
    ("a=🙂", "a", "=", "🙂"),
    # inside of quotes everything may stand
    ('a="b, c"', "a", "=", "b, c"),
    ('a="{b}"', "a", "=", "{b}"),
    ('a="b=~c"', "a", "=", "b=~c"),
    ('a="she said \\"hi\\""', "a", "=", 'she said "hi"'),
    ('a="b\\nc"', "a", "=", "b\nc"),
    ('a="b\\\\c"', "a", "=", "b\\c"),
    ('a="b\nc"', "a", "=", "b\nc"),
    # a backslash before anything else is a backslash
    ('a=~"1\\.2"', "a", "=~", "1\\.2"),
    ('a=~"\\d+"', "a", "=~", "\\d+"),
    ('a="C:\\temp"', "a", "=", "C:\\temp"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "op", "value"), SYNTAX)
def test_a_matcher_is_read_as_alertmanager_reads_it(text, name, op, value):
    found = parse_matcher(text)
    assert (found.name, found.op, found.value) == (name, op, value)


REFUSED = [
    "", "a", "=b", "a~b", "a==b", 'a="b', 'a=b"', 'a="b"c"', "a=b c", "a=b,c=d", '{a="b"', 'a="b"}', "a='b'", "a=`b`",
    "a b=c", '""="x"', '"a=b', "a=b=c", "a!b", "{}", '{a="b",}',
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_a_matcher_says_how_to_write_one(text):
    with pytest.raises(ValueError, match=r"write a matcher as Alertmanager does|name a label"):
        parse_matcher(text)


@pytest.mark.parametrize("regex", ["(", "[", "*", "a{2,1}", "(?=x)", "(?<!x)", r"(a)\1", "x{1001}", "(x{100}){1000}"])
def test_a_regular_expression_is_of_the_re2_dialect(regex):
    with pytest.raises(ValueError, match="write a regular expression of the RE2 dialect"):
        parse_matcher(f'a=~"{regex}"')


MATCHES = [  # matcher, the label's value (None: it has none), whether it is met
    ("a=b", "b", True),
    ("a=b", "B", False),
    ("a=b", None, False),
    ("a!=b", "c", True),
    ("a!=b", None, True),
    ("a!=b", "b", False),
    # a label that is missing is the empty string
    ('a=""', None, True),
    ('a=""', "", True),
    ('a!=""', None, False),
    ('a=~".*"', None, True),
    ('a=~".+"', None, False),
    ('a!~".+"', None, True),
    ('a=~"|b"', None, True),
    # anchored at both ends
    ('a=~"b"', "b", True),
    ('a=~"b"', "abc", False),
    ('a=~"b"', "bc", False),
    ('a=~"b|c"', "bd", False),
    ('a=~"b|c"', "dc", False),
    ('a=~"b|cd"', "cd", True),
    ('a=~"^b$"', "b", True),
    ('a=~".*b.*"', "abc", True),
    ('a!~"b"', "abc", True),
    ('a=~"b"', "b\n", False),
    ('a=~"b.c"', "b\nc", True),
    ('a=~"(?i)b"', "B", True),
    ('a=~"5.."', "503", True),
    ('a=~"gr.ße"', "größe", True),
    ('a=~"."', "🙂", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "met"), MATCHES)
def test_a_matcher_is_met_as_in_alertmanager(text, value, met):
    assert parse_matcher(text).matches({} if value is None else {"a": value}) is met


names = st.text(min_size=1)
values = st.text()


@given(names, st.sampled_from(["=", "!="]), values)
def test_a_matcher_that_is_written_out_reads_back_the_same(name, op, value):
    text = str(parse_matcher(f"{_quoted(name)}{op}{_quoted(value)}"))
    again = parse_matcher(text)
    assert (again.name, again.op, again.value) == (name, op, value)
    assert str(again) == text


@given(values)
def test_a_value_matches_itself_and_nothing_else(value):
    matcher = parse_matcher(f"a={_quoted(value)}")
    assert matcher.matches({"a": value})
    assert not matcher.matches({"a": value + "x"})


@example("b(?i)*", "")
@given(st.text("ab 1|*+?.(){}[]^$\\iéß", max_size=8), st.text("ab 1.|éß", max_size=4))
def test_what_spares_the_regular_expression_decides_as_it_does(regex, value):
    try:
        met = compile_regex(regex).fullmatch(value) is not None
    except ValueError:
        assume(False)
    for op, expected in (("=~", met), ("!~", not met)):
        assert parse_matcher(f"a{op}{_quoted(regex)}").matches({"a": value}) is expected


@given(st.text())
def test_any_text_is_a_matcher_or_refused_in_words(text):
    try:
        found = parse_matcher(text)
    except ValueError as refused:
        said = str(refused)
    else:
        said = "write as it is"
        assert parse_matcher(str(found)) == found
    assert said.startswith(("write a", "name a label"))


def _quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def test_a_regular_expression_takes_linear_time():
    assert not parse_matcher('a=~"(x+x+)+y"').matches({"a": "x" * 50_000})


def test_all_conditions_must_be_met_and_none_are_met_by_everything():
    both = (parse_matcher("a=b"), parse_matcher("c!=d"))
    assert all_match(both, {"a": "b"})
    assert not all_match(both, {"a": "b", "c": "d"})
    assert all_match((), {})


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("s1-.*", "s1-"), ("db.*", "db"), ("abc", "abc"), ("ab?", "a"), ("ab*", "a"), ("ab{0}", "a"), ("ab+", "a"),
        ("a|b", ""), ("ab(c|d)", ""), (".*", ""), ("(?i)ab", ""), ("", ""), ("größe.*", "größe"), ("a.b", "a"),
    ],
)  # fmt: skip
def test_how_the_values_of_a_regular_expression_begin(value, prefix):
    assert parse_matcher(f'a=~"{value}"').prefix() == prefix
    assert parse_matcher(f'a!~"{value}"').prefix() == ""
