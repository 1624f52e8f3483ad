"""Ids that carry the upstream's, and can be turned back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.ids import input_ids, new_response_id, output_ids, response_of
from antiphon.models.responses_ids import is_foreign, mark_of, ours, theirs

UPSTREAM_IDS = st.one_of(
    st.text(min_size=1),
    st.from_regex(r"\A[a-z]{1,20}_[A-Za-z0-9_-]{1,60}\Z"),
    st.builds(lambda inner: ours(inner, "wxyz"), st.text(min_size=1)),
)
MARKS = st.from_regex(r"\A[a-z2-7]{4}\Z")


@given(UPSTREAM_IDS, MARKS)
def test_our_id_turns_back_into_the_upstreams(upstream_id, mark):
    assert theirs(ours(upstream_id, mark), mark) == upstream_id


@given(UPSTREAM_IDS)
def test_our_id_has_no_character_that_a_url_would_escape(upstream_id):
    assert re.fullmatch(r"[A-Za-z0-9_-]+", ours(upstream_id))


@given(st.text(), MARKS)
def test_what_turns_back_was_made_here(any_id, mark):
    upstream_id = theirs(any_id, mark)
    assert upstream_id is None or ours(upstream_id, mark) == any_id


@given(UPSTREAM_IDS, MARKS, MARKS)
def test_an_id_of_another_upstream_is_foreign_and_does_not_turn_back(upstream_id, mark, other):
    our_id = ours(upstream_id, mark)
    assert is_foreign(our_id, other) is (mark != other)
    assert (theirs(our_id, other) is None) is (mark != other)


@pytest.mark.parametrize("prefix", ["msg", "rs", "fc", "mcpl"])
def test_the_prefix_of_an_id_stays(prefix):
    assert ours(f"{prefix}_68af00").startswith(f"{prefix}_")


def test_an_id_without_the_usual_form_gets_a_prefix():
    assert ours("5f0e/1+a=").startswith("item_")


def test_an_id_of_openai_stays_within_64_characters():
    assert len(ours("mcpl_" + "0" * 50, mark_of("https://api.openai.com/v1"))) <= 64


def test_the_ids_that_this_server_makes_are_no_upstreams():
    response_id = new_response_id()
    for our_id in (output_ids(response_id)("msg"), input_ids(response_id)("msg"), response_id):
        assert theirs(our_id) is None
        assert not is_foreign(our_id, mark_of("https://api.openai.com/v1"))


def test_an_id_of_an_antiphon_behind_this_one_is_no_item_of_a_response_here():
    behind = output_ids(new_response_id())("msg")
    assert response_of(behind) is not None
    assert response_of(ours(behind)) is None


@pytest.mark.parametrize(
    "broken", ["item_ubaaaa-!", "item_ubaaaa-A", "item_ubaaaa-_w", "msg_ubaaaa-YQ", "msg_upaaaa-ü"]
)
def test_an_id_that_only_looks_like_ours_does_not_turn_back(broken):
    assert theirs(broken) is None


def test_the_mark_is_that_of_the_address_with_or_without_a_slash_at_its_end():
    assert mark_of("https://api.openai.com/v1/") == mark_of("https://api.openai.com/v1")
    assert mark_of("https://api.openai.com/v1") != mark_of("https://example.com/v1")
