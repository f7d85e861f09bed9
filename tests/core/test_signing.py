"""Signed URLs: "presigned BSS URL with HMAC signature", good without any auth header (seed 4)."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dreamlake.core.signing import SignatureError, Signer

from ._helpers import examples

NOW = 1_776_756_298
SIGNER = Signer({"k1": b"a secret of the lake", "k2": b"another one"}, current="k1")
RESERVED = ["expires", "key", "namespace", "signature"]

methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"])
texts = st.text(max_size=12)
paths = st.one_of(st.just("/lambdas/hls-split"), texts.map(lambda text: f"/chunks/{text}"))
extras = st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda name: name not in RESERVED), texts, max_size=3)
lifetimes = st.integers(0, 10**6)


def signed(
    method: str, path: str, extra: dict[str, str], *, namespace: str = "alice", lifetime: int = 60
) -> dict[str, str]:
    """The query that a server reads from the signed URL."""
    query = SIGNER.query(method, path, namespace, NOW + lifetime, extra)
    return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))


def refused(method: str, path: str, query: dict[str, str], now: float = NOW, signer: Signer = SIGNER) -> None:
    with pytest.raises(SignatureError):
        signer.verify(method, path, query, now)


@examples(100)
@given(methods, paths, extras, texts, lifetimes)
def test_what_was_signed_is_accepted_for_its_namespace(
    method: str, path: str, extra: dict[str, str], namespace: str, lifetime: int
) -> None:
    query = signed(method, path, extra, namespace=namespace, lifetime=lifetime)
    assert SIGNER.verify(method, path, query, NOW) == namespace
    assert {name: query[name] for name in extra} == extra
    assert sorted(query) == sorted([*extra, *RESERVED])


def test_the_lambda_url_of_the_seed() -> None:
    query = signed("POST", "/lambdas/hls-split", {"videoId": "69e7264a0123456789abcdef"})
    assert SIGNER.verify("POST", "/lambdas/hls-split", query, NOW) == "alice"
    refused("POST", "/lambdas/audio-process", query)
    refused("GET", "/lambdas/hls-split", query)
    refused("POST", "/lambdas/hls-split", query | {"videoId": "69e7264a0123456789abcde0"})
    refused("POST", "/lambdas/hls-split", query | {"namespace": "bob"})


def test_the_same_request_is_signed_the_same() -> None:
    one, other = {"a": "1", "b": "2"}, {"b": "2", "a": "1"}
    assert signed("GET", "/x", one)["signature"] == signed("GET", "/x", other)["signature"]
    assert "signature" not in one


# -- any change is refused


@examples(100)
@given(methods, paths, extras, st.data(), texts)
def test_any_changed_parameter_is_refused(
    method: str, path: str, extra: dict[str, str], data: st.DataObject, value: str
) -> None:
    query = signed(method, path, extra)
    name = data.draw(st.sampled_from(sorted(query)))
    assume(query[name] != value)
    refused(method, path, query | {name: value})


@examples(100)
@given(methods, paths, extras, st.data())
def test_any_missing_parameter_is_refused(method: str, path: str, extra: dict[str, str], data: st.DataObject) -> None:
    query = signed(method, path, extra)
    del query[data.draw(st.sampled_from(sorted(query)))]
    refused(method, path, query)


@examples(100)
@given(methods, paths, extras, texts, texts)
def test_any_added_parameter_is_refused(method: str, path: str, extra: dict[str, str], name: str, value: str) -> None:
    query = signed(method, path, extra)
    assume(name not in query)
    refused(method, path, query | {name: value})


@examples(100)
@given(methods, paths, extras, paths)
def test_another_path_is_refused(method: str, path: str, extra: dict[str, str], other: str) -> None:
    query = signed(method, path, extra)
    for changed in (other, path + "/", path.upper(), "/" + path, path + "\n"):
        if changed != path:
            refused(method, changed, query)


@examples(100)
@given(methods, methods, paths)
def test_another_method_is_refused_except_head_for_get(method: str, other: str, path: str) -> None:
    query = signed(method, path, {})
    if other == method or (method, other) == ("GET", "HEAD"):
        assert SIGNER.verify(other, path, query, NOW) == "alice"
    else:
        refused(other, path, query)


@pytest.mark.parametrize("method", ["get", "Get", "", "GET ", "PATCH"])
def test_other_spellings_of_a_method_are_other_methods(method: str) -> None:
    refused(method, "/x", signed("GET", "/x", {}))


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text[:-1], lambda text: text + "0", lambda text: " " + text]
)
def test_a_signature_is_compared_whole(change: object) -> None:
    query = signed("GET", "/x", {})
    assert callable(change)
    refused("GET", "/x", query | {"signature": change(query["signature"])})


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"signature": ""},
        dict.fromkeys(RESERVED, ""),
        {"expires": "9999999999", "key": "k1", "namespace": "alice", "signature": "0" * 64},
        {"expires": "9999999999", "key": "", "namespace": "alice", "signature": ""},
        {"expires": "9999999999", "key": "k9", "namespace": "alice", "signature": "0" * 64},
        {"expires": "9999999999", "key": "k1", "namespace": "alice", "signature": "\N{FULLWIDTH DIGIT ZERO}" * 64},
    ],
)
def test_an_unsigned_url_is_refused(query: dict[str, str]) -> None:
    refused("GET", "/x", query)


@pytest.mark.parametrize("name", ["signature", "namespace", "expires", "key", "x"])
def test_text_that_no_url_can_carry_is_refused_and_raises_nothing_else(name: str) -> None:
    refused("GET", "/x", signed("GET", "/x", {}) | {name: "\udc80"})


# -- boundaries between fields

small = st.text("a1:\n", max_size=4)
requests = st.tuples(
    st.sampled_from(["GET", "POST"]),
    small,
    small,
    st.dictionaries(st.text("a1:\n", min_size=1, max_size=3), small, max_size=2),
)


@examples(300)
@given(requests, requests)
@example(("GET", "a", "b", {"a": "11"}), ("GET", "a", "b", {"a1": "1"}))
@example(("GET", "a", "b", {"a": "1", "b": "2"}), ("GET", "a", "b", {"a": "1\n1:b\n1:2"}))
@example(("GET", "/x1:a", "", {}), ("GET", "/x", "a", {}))
def test_a_signature_never_fits_another_request(
    one: tuple[str, str, str, dict[str, str]], other: tuple[str, str, str, dict[str, str]]
) -> None:
    """However the text of one field is moved into its neighbour."""
    assume(one != other)
    queries = [signed(method, path, extra, namespace=namespace) for method, path, namespace, extra in (one, other)]
    refused(other[0], other[1], queries[1] | {"signature": queries[0]["signature"]})


# -- expiry and rotation


@examples(100)
@given(lifetimes, st.floats(0.001, 10**6))
def test_a_url_is_good_until_it_expires(lifetime: int, later: float) -> None:
    query = signed("GET", "/x", {}, lifetime=lifetime)
    assert SIGNER.verify("GET", "/x", query, NOW) == "alice"
    assert SIGNER.verify("GET", "/x", query, NOW + lifetime) == "alice"
    refused("GET", "/x", query, now=NOW + lifetime + later)
    refused("GET", "/x", query | {"expires": str(NOW + 10**7)}, now=NOW + lifetime + later)


@pytest.mark.parametrize("expires", [-1, 0])
def test_what_never_was_good_is_refused(expires: int) -> None:
    query = dict(parse_qsl(SIGNER.query("GET", "/x", "alice", expires)))
    refused("GET", "/x", query)


def test_keys_can_be_rotated() -> None:
    old = Signer({"k1": b"one"}, current="k1")
    both = Signer({"k1": b"one", "k2": b"two"}, current="k2")
    new = Signer({"k2": b"two"}, current="k2")
    first, second = (dict(parse_qsl(signer.query("GET", "/x", "alice", NOW + 60))) for signer in (old, both))
    assert (first["key"], second["key"]) == ("k1", "k2")
    assert both.verify("GET", "/x", first, NOW) == both.verify("GET", "/x", second, NOW) == "alice"
    assert new.verify("GET", "/x", second, NOW) == "alice"
    refused("GET", "/x", first, signer=new)
    refused("GET", "/x", second, signer=old)


def test_a_key_id_does_not_choose_another_secret() -> None:
    query = signed("GET", "/x", {})
    refused("GET", "/x", query | {"key": "k2"})
    refused("GET", "/x", query, signer=Signer({"k1": b"a secret of another lake"}, current="k1"))


def test_parameters_of_the_signature_itself_cannot_be_overridden() -> None:
    query = signed("GET", "/x", {"namespace": "bob", "expires": "9999999999", "key": "k2"})
    assert SIGNER.verify("GET", "/x", query, NOW) == "alice"
    assert (query["expires"], query["key"]) == (str(NOW + 60), "k1")
