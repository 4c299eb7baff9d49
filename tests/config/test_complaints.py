"""What a person reads who has made a mistake: the exact page."""

from textwrap import dedent
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from relay.config.complaints import Complaint, Rejected, load, suggest, unreadable
from relay.config.document import Place, Unreadable, parse
from relay.config.types import Duration, OneMatcher, Section


class Inner(Section):
    wait: Duration
    matchers: tuple[OneMatcher, ...] = ()
    mode: Literal["enforce", "shadow"] = "enforce"


class Red(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["red"]
    token_file: str = ""


class Blue(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["blue"]
    depth: int = 0


class Outer(Section):
    inner: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    colours: dict[str, Annotated[Red | Blue, Field(discriminator="type")]] = Field(default_factory=dict)
    sha256: str = Field(default="", pattern="^[0-9a-f]{64}$")


def page(text):
    """The whole page of complaints about a file."""
    with pytest.raises(Rejected) as rejected:
        load(parse(text, "rules.yaml"), Outer)
    return str(rejected.value)


def test_a_page_shows_every_mistake_in_the_order_of_the_file():
    text = dedent("""\
        inner:
          a:
            wait: soon
            matchers: ["a~b", c=d]
          b: {wiat: 5m, mode: shadov}
        many:
          - wait: 5m
            mode: [x]
        """)
    assert page(text) == dedent("""\
        rules.yaml:3:11: "soon" cannot be used
        3 |     wait: soon
                      ^^^^ write a duration such as 30s, 5m, 1h30m or 2d

        rules.yaml:4:16: "a~b" cannot be used
        4 |     matchers: ["a~b", c=d]
                           ^^^^^ write a matcher as Alertmanager does: name="value", name!="value", name=~"regex" or name!~"regex"

        rules.yaml:5:3: "wait" is missing
        5 |   b: {wiat: 5m, mode: shadov}
              ^ add "wait: ..." here

        rules.yaml:5:7: unknown key "wiat"
        5 |   b: {wiat: 5m, mode: shadov}
                  ^^^^ did you mean "wait"?

        rules.yaml:5:23: "shadov" is not one of the choices
        5 |   b: {wiat: 5m, mode: shadov}
                                  ^^^^^^ did you mean "shadow"?

        rules.yaml:8:11: "['x']" is not one of the choices
        8 |     mode: [x]
                      ^^^ write one of: enforce, shadow""")  # noqa: E501


def test_tabs_and_wide_characters_leave_the_caret_where_it_belongs():
    assert page("inner: {größe: {wait: x}}").splitlines()[-2:] == [
        "1 | inner: {größe: {wait: x}}",
        "                          ^ write a duration such as 30s, 5m, 1h30m or 2d",
    ]
    assert page('inner: {"東京": {wait: "午後"}}').splitlines()[-2:] == [
        '1 | inner: {"東京": {wait: "午後"}}',
        "                           ^^^^^^ write a duration such as 30s, 5m, 1h30m or 2d",
    ]
    assert page("inner: {e\u0301: {wait: x}}").splitlines()[-1].index("^") == len("1 | inner: {e: {wait: ")
    assert page("inner: {a:\t{wait: x}}").splitlines()[-2:] == [
        "1 | inner: {a:\t{wait: x}}",
        "              \t       ^ write a duration such as 30s, 5m, 1h30m or 2d",
    ]


def test_a_long_line_is_shown_around_the_mistake():
    text = (
        "inner: {" + ", ".join(f"n{n}: {{wait: 5m}}" for n in range(100)) + ", bad: {wait: x}" + ", z: {wait: 5m}" * 0
    )
    text += ", " + ", ".join(f"m{n}: {{wait: 5m}}" for n in range(100)) + "}"
    head, line, caret = page(text).splitlines()
    assert head == f'rules.yaml:1:{text.index("x}") + 1}: "x" cannot be used'
    assert len(line) < 220
    assert line.startswith("1 | …")
    assert line.endswith("…")
    assert line[caret.index("^")] == "x"


def test_a_long_value_is_marked_in_part():
    head, line, caret = page(f"inner: {{a: {{wait: {'x' * 5000}}}}}").splitlines()
    assert head == f'rules.yaml:1:19: "{"x" * 59}…" cannot be used'
    assert line.endswith("x…")
    assert caret.count("^") == 100


def test_unknown_keys_are_known_in_optional_sections_lists_and_choices():
    assert 'did you mean "wait"?' in page("maybe: {wat: 5m}")
    assert 'did you mean "wait"?' in page("many: [{wat: 5m}]")
    assert 'did you mean "depth"?' in page("colours: {c: {type: blue, dept: 1}}")
    assert 'did you mean "many"?' in page("meny: []")
    assert "write one of: matchers, mode, wait" in page("maybe: {zzz: 1}")


def test_a_kind_that_is_not_there_is_told_with_the_kinds_that_are():
    assert 'rules.yaml:1:21: "blu" is not one of the choices' in page("colours: {c: {type: blu}}")
    assert 'did you mean "blue"?' in page("colours: {c: {type: blu}}")
    assert '"type" is missing' in page("colours: {c: {depth: 1}}")


def test_a_secret_in_the_file_is_not_shown():
    """Complaints go to logs: a token that somebody has written inline must not."""
    for text in (
        "colours: {c: {type: red, token: s3cret}}",
        "colours:\n  c:\n    type: red\n    token: s3cret",
        'colours: {c: {type: red, api_key: "s3cret, and more", deep: 1}}',
        "colours: {c: {type: red, 'password': 's3cret'}}",
        "sha256: s3cret",
        "sha256: s3cret # s",
    ):
        shown = page(text)
        assert "s3cret" not in shown, shown
        assert "******" in shown
    assert "token_file" in page("colours: {c: {type: red, token_file: [x]}}")


def test_a_broken_file_does_not_show_a_secret_either():
    with pytest.raises(Unreadable) as broken:
        parse("token: s3cret: x", "f.yaml")
    [complaint] = unreadable(broken.value)
    assert "s3cret" not in str(complaint)


def test_without_a_line_the_advice_stands_below():
    assert (
        str(Complaint(Place("rules", 1), "there is no file", "write one")) == "rules:1:1: there is no file\n  write one"
    )
    assert str(Complaint(Place("--listen", 0), "no", "write one")) == "--listen: no\n  write one"
    warned = Complaint(Place("f.yaml", 2, 3, 1), "hm", "mind it", "ab: c", warning=True)
    assert str(warned) == "f.yaml:2:3: warning: hm\n2 | ab: c\n      ^ mind it"


def test_complaints_are_sorted_by_file_and_place():
    places = [Place("b.yaml", 1), Place("a.yaml", 10), Place("a.yaml", 9, 5), Place("a.yaml", 9, 2)]
    rejected = Rejected(Complaint(place, "x", "y") for place in places)
    assert [(str(c.place), c.place.column) for c in rejected.complaints] == [
        ("a.yaml:9", 2),
        ("a.yaml:9", 5),
        ("a.yaml:10", 1),
        ("b.yaml:1", 1),
    ]


SUGGESTED = [
    ("polcy", ["policy", "people"], 'did you mean "policy"?'),
    ("zzz", ["policy", "people", "people"], "write one of: people, policy"),
    ("zzz", [], "there is none to choose from yet"),
]


@pytest.mark.parametrize(("word", "known", "advice"), SUGGESTED)
def test_what_was_meant_is_guessed_or_all_is_listed(word, known, advice):
    assert suggest(word, known) == advice
