"""Texts are cut where a reader would cut them, and keys stay the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.integrations.fitting import cut, cut_lines, cut_pairs, first_fit, fold_key, length

TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from("e\u0301\u200d\ufe0f👩👦🏽🇩🇪🔥\ud800")),
    max_size=80,
)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("checkout", 8, "checkout"),
        ("checkout", 7, "checko…"),
        ("checkout", 1, "…"),
        ("checkout", 0, ""),
        ("cafe\u0301 au lait", 5, "caf…"),
        ("cafe\u0301 au lait", 6, "cafe\u0301…"),
        ("up 🔥🔥🔥", 7, "up 🔥…"),
        ("up 👍🏽 and away", 6, "up …"),
        ("a 👩‍👩‍👧 family", 8, "a …"),
        ("👩‍👩‍👧", 6, "👩‍👩…"),
        ("🇩🇪🇫🇷🇪🇸", 10, "🇩🇪🇫🇷…"),
        ("🇩🇪🇫🇷🇪🇸", 8, "🇩🇪…"),
        ("a" + "\u0301" * 100, 50, "a" + "\u0301" * 48 + "…"),
    ],
)
def test_a_text_is_cut_between_what_a_reader_sees_as_characters(text: str, limit: int, expected: str) -> None:
    assert cut(text, limit) == expected


@given(TEXTS, st.integers(0, 90))
def test_a_cut_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    made = cut(text, limit)

    assert length(made) <= limit
    if made != text:
        assert length(text) > limit
        assert made == "" or text.startswith(made.removesuffix("…"))


@given(st.text("abc \n\u0301", max_size=40), st.integers(1, 30))
def test_a_cut_is_the_last_one_that_leaves_no_letter_without_its_accent(text: str, limit: int) -> None:
    whole = [end for end in range(1, min(limit, len(text))) if not unicodedata.combining(text[end])]

    made = cut(text, limit)

    if made != text:
        assert len(made) - 1 == (whole[-1] if whole else limit - 1)


def test_length_is_what_java_counts() -> None:
    assert [length(text) for text in ("", "abc", "é", "🔥", "\ud800")] == [0, 3, 1, 2, 1]


def test_lines_and_pairs_left_out_are_counted() -> None:
    assert cut_lines(["one", "two", "three"], 2, 2) == ["o…", "t…", "… and 1 more"]
    assert cut_lines(["one"], 2, 5) == ["one"]
    assert cut_pairs({"a": "1", "b": "2", "c": "3"}, 1, 5) == {"a": "1", "…": "and 2 more"}
    assert cut_pairs({"name": "value"}, 5, 4) == {"name": "val…"}


@given(TEXTS, TEXTS)
def test_a_key_is_folded_the_same_way_each_time_and_apart_from_others(one: str, other: str) -> None:
    long, longer = one * 9 + "x" * 70, one * 9 + "x" * 70 + other + "y"

    assert fold_key(long, 70) == fold_key(long, 70)
    assert length(fold_key(long, 70)) <= 70
    assert fold_key(long, 70) != fold_key(longer, 70)
    assert fold_key(one, 200) == one


def test_the_first_that_fits_is_taken_and_nothing_smaller_is_made() -> None:
    made = []

    def bodies():
        for size in (100, 10, 1):
            made.append(size)
            yield "x" * size

    assert first_fit(bodies(), len, 50) == "x" * 10
    assert made == [100, 10]
    assert first_fit(bodies(), len, 0) == "x", "the smallest there is, when none fits"
