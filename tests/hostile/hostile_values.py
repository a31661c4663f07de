"""What no client would put into a field, a query, a header or a body, as hypothesis draws it."""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

Header = tuple[bytes, bytes]


# Tokens of JSON, and what is nearly one.
TOKENS = [
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"1", b"-1", b"01", b"1.", b".5", b"+1",
    b"0x10", b"1e5", b"1e308", b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"-" + b"9" * 400,
    b"9007199254740992", b"9007199254740993", b"9223372036854775807", b"9223372036854775808",
    b"-9223372036854775808", b"-9223372036854775809", b"18446744073709551615",
    b"18446744073709551616", b"1730814562", b"1730814562123", b"1730814562.5", b"0.1e1", b"NaN",
    b"Infinity", b"-Infinity", b"undefined", b"None", b"", b'"', b'""', b'" "', b"'x'",
    b'"\\u0000"', b'"\x00"', b'"a\\u0000b"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d"',
    b'"\\ud83d\\ude00"', b'"\\x41"', b'"\\"', b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"', b'"\xe2\x80\xae\xe2\x80\xa8"', b'"\xef\xbf\xbf\xef\xbb\xbf"', b'"\n"',
    b'"' + b"a" * 101 + b'"', b'"' + b"a" * 5_000 + b'"', b'"' + "ä".encode() * 2_048 + b'"',
    b"[]", b"{}", b"[[]]", b"[null]", b"[1,2,3]", b'{"a":{"b":{"c":{"d":{"e":{"f":1}}}}}}',
    b'{"":1}', b'{"a":1,"a":2}', b'{"\\u0000":1}', b'{"a":1e999}', b'{"a":NaN}', b'{"a":[1e999]}',
    b'["a",1]', b'{"1":["a","b"]}', b"[" * 700 + b"]" * 700, b'{"a":' * 700 + b"1" + b"}" * 700,
    b"[" * 60_000, b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(300)) + b"}", b'"NaN"',
    b'"inf"', b'"-Infinity"', b'"1e999"', b'"1_000"', b'"0"', b'"1"', b'"-1"', b'" 1 "',
    '"²"'.encode(), '"١٢٣"'.encode(), b'"' + b"9" * 5_000 + b'"', b'"true"', b'"[]"', b'"{}"',
    b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b'"2026-W10-7T10"',
    b'"2026-02-30"', b'"2026-11-23T24:00:00Z"', b'"2026-11-23T08:15:60Z"', b'"20261123"', b'"/"',
    b'"//"', b'"/a?b#c"', b'"/%00"', b'"/%ff?utm_source=%ff&utm_medium=%00"', b'"http://"',
    b'"http://["', b'"http://[::1"', b'"http://[::1]:99999/"', b'"http://a:b/"',
    b'"http://a:99999999/"', b'"http://\\u0000/"', '"http://\uff41\uff0e\uff42/\u2100"'.encode(),
    '"http://a\u3002b/?ref=\U0001f600"'.encode(), b'"http://xn--a/"', b'"http://xn--/"',
    b'"http://%/"', b'"http:///x"', b'"javascript:1"', b'"HTTPS://USER:P@A.EXAMPLE/"',
    b'"http://a..b/"', b'"http://' + b"a" * 300 + b'/"', b'"http://1.2.3.4.5/"',
    b'"http://[v1.a]/"', b'"data:,x"',
    b'"http://a.example/?' + b"&".join(b"a=%d" % n for n in range(300)) + b'"',
    b'"https://a.example/?gclid=1&utm_source=a&utm_source=b&=&&;"', b'"\\\\\\\\a\\\\b"',
    b'"shop.example"', b'"closed.example"', b'"private.example"', b'"strict.example"',
    b'"nowhere"', b'"localhost"', b'"pageview"', b'"engagement"', b'"1920x1080"', b'"0x0"',
    b'"99999999x1"', b'"-1x-1"', b'"en-GB"', b'"x-"', b'"Europe/Berlin"', b'"../../etc/passwd"',
    b'"/etc/passwd"', b'"Europe/"', b'"127.0.0.1"', b'"::1"', b'"fe80::1%eth0"', b'"999.1.1.1"',
    b'"1.2.3.4, 5.6.7.8"', b'"iglu:a/b/jsonschema/1-0-0"',
    b'"' + b64encode(b'{"data":{"schema":1e999}}') + b'"', b'"===="', b'"eyJhIjox"', b'"a,b,c,,"',
    b'"1920,1080,2"', b'"pv"', b'"ue"', b'"pp"', b'"se"', b'"tr"', b'"page"', b'"track"',
    b'"identify"', b'"event"', b'"performance"', b'"user_engagement"',
]  # fmt: skip
_texts = st.text(st.characters(exclude_categories=[]), max_size=30)
_scalars = st.one_of(_texts, st.integers(), st.floats())


def _written(value: Any) -> bytes:
    """With lone surrogates as escapes, or as the bytes that they would be."""
    return json.dumps(value).encode()


tokens = st.sampled_from(TOKENS) | _scalars.map(_written)
# Of queries, forms and paths, already as they are sent.
PIECES = [
    b"", b"0", b"1", b"-1", b"%00", b"%", b"%zz", b"%u0041", b"%ff", b"%ed%a0%80", b"%C0%80",
    b"%c3%a4", b"%F0%9F%98%80", b"+", b"%20", b"%0d%0aX-Injected:1", b"%0a", b"%26", b"=", b"[]",
    b"[0]", b"..", b"../..", b"%2e%2e%2f", b"//", b"%2f", b"\\", b";", b"a;b", b"'", b'"', b"<x>",
    b"{}", b"%7B%22a%22:1e999%7D", b"1e999", b"NaN", b"inf", b"9" * 400, b"1_0", b"%D9%A1",
    b"%C2%B2", b"2026-11-23", b"2026-13-45", b"0001-01-01", b"9999-12-31", b"0000-00-00",
    b"today", b"a" * 3_000, b"shop.example", b"localhost", b"nowhere", b"closed.example", b"day",
    b"minute", b"hour", b"page", b"prop:", b"prop:a", b"prop:%00", b"browser", b"3-0", b"0-0",
    b"1-999999999999999999", b"99999-0", b"-1-0", b"0-", b"%D9%A1-0", b"http://a.example/",
    b"http://[::1", b"//a.example", b"1920,1080,2", b"json", b"xml", b"api", b"pv", b"ue", b"7d",
    b"30d", b"true", b"null", b"None", b"0x10", b"1.5",
]  # fmt: skip
pieces = st.sampled_from(PIECES) | _texts.map(
    lambda text: quote_from_bytes(text.encode("utf-8", "surrogatepass")).encode()
)


def query_of(names: Sequence[str], most: int = 6) -> st.SearchStrategy[bytes]:
    """Parameters of these names and others, some of them twice or without a value."""
    name = st.sampled_from([name.encode() for name in names]) | pieces
    pair = st.tuples(name, st.sampled_from([b"=", b"=", b"=", b"", b"=="]), pieces)
    mark = st.sampled_from([b"&", b"&", b"&", b"&&", b";"])
    return st.tuples(mark, st.lists(pair.map(b"".join), max_size=most)).map(
        lambda drawn: drawn[0].join(drawn[1])
    )


# --- Headers --------------------------------------------------------------------------------

_HEADER_NAMES = [
    b"user-agent", b"referer", b"origin", b"authorization", b"content-type", b"content-encoding",
    b"x-forwarded-for", b"accept-language", b"cookie", b"accept", b"accept-encoding", b"dnt",
    b"sec-gpc", b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform",
    b"sec-ch-ua-platform-version", b"x-tracker-internal", b"range", b"if-none-match",
    b"if-modified-since", b"x-http-method-override", b"access-control-request-method",
    b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"content-disposition", b"te",
    b"x-csrftoken", b"x_forwarded_for", b"priority", b"host",
]  # fmt: skip
_HEADER_VALUES = [
    b"", b" ", b"0", b"1", b"?1", b"\xff", b"\xc3\xa4", b"\x80", b"a" * 7_000, b'"', b'"' * 500,
    b",", b",,,,", b";", b"=", b"*", b"*/*;q=x", b"text/html", b"application/xml",
    b"image/*;q=1e999", b"Basic", b"Basic ", b"Basic !!!", b"Basic " + b64encode(b"\xff\xfe"),
    b"Basic " + b64encode(b":"), b"Basic " + b64encode(b"shop.example:x"),
    b"Basic " + b64encode(b"\x00:\x00"), b"Basic ====", b"Basic \xff", b"Bearer", b"Bearer ",
    b"Bearer \xff", b"Bearer x y", b"Bearer shop.example", b"Bearer pvt_00000000_x",
    b"Bearer pvt_00000000_\xff", b"bearer\tx", b"Digest username=\"", b"application/json",
    b"application/json; charset=x", b"text/plain;charset=utf-16", b"application/jsonp",
    b"multipart/form-data", b"multipart/form-data; boundary=x",
    b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary=" + b"b" * 300,
    b"application/x-www-form-urlencoded", b"application/x-www-form-urlencoded; charset=x", b"/",
    b"\xe4/\xf6", b"gzip", b"GZIP, br", b"deflate", b"sessionid=\xff; csrftoken=\x80",
    b"sessionid=a; =; ;;", b"csrftoken=" + b"a" * 32, b"127.0.0.1", b"::1", b"[::1]:80",
    b"1.2.3.4, x", b"999.1.1.1", b"x" * 2_000 + b",1.2.3.4", b"fe80::1%25eth0", b"bytes=0-",
    b"bytes=-1", b"W/\"x\"", b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 99 Foo 9999", b"null",
    b"http://[", b"https://a.example/?q=\xff", b"https://\xe4.example/", b"about:blank",
    b"en-GB,de;q=x", b'"Chromium";v="130", "\xff', b'";;v=,,', b"Mozilla/5.0 (" + b"(" * 900,
    b"curl/8.5.0", b"Googlebot/2.1", b"DELETE", b"POST", b"attacker.example", b"https",
    b"100-continue",
]  # fmt: skip
# No header may have them; `broken_requests` do.
_CONTROLS = bytes([*range(32), 127])
_header_values = st.sampled_from(_HEADER_VALUES) | st.binary(max_size=40).map(
    lambda drawn: drawn.translate(None, _CONTROLS).strip()
)
headers = st.lists(st.tuples(st.sampled_from(_HEADER_NAMES), _header_values), max_size=5).map(tuple)
few_headers = st.just(()) | headers


# --- Bodies ---------------------------------------------------------------------------------

Fields = Sequence[tuple[str, bytes]]


def fields_of(names: Sequence[str]) -> st.SearchStrategy[list[tuple[str, bytes]]]:
    return st.lists(st.tuples(st.sampled_from(names) | _texts, tokens), max_size=6)


def render(value: Any, added: Fields, first: bool) -> bytes:
    """`value` as JSON with these fields in each of its objects, beside those of the same name."""
    if isinstance(value, dict):
        own = [b"%s:%s" % (_written(key), render(v, added, first)) for key, v in value.items()]
        new = [b"%s:%s" % (_written(key), token) for key, token in added]
        return b"{%s}" % b",".join(new + own if first else own + new)
    if isinstance(value, list):
        return b"[%s]" % b",".join(render(item, added, first) for item in value)
    return _written(value)


_BROKEN: list[Callable[[bytes], bytes]] = [
    lambda body: body[: len(body) // 2],
    lambda body: body[:-1],
    lambda body: body + body,
    lambda body: body + b"\x00",
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.decode(errors="replace").encode("utf-16"),
    lambda body: b"[" + body + b"]",
    lambda body: gzip.compress(body),
    lambda body: gzip.compress(body)[:-5],
    lambda body: b"data=" + body,
    lambda body: b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + body,
    lambda body: b"--x\r\n\r\n" + body + b"\r\n--x--\r\n",
    lambda body: body.replace(b'"', b"'"),
    lambda body: b"\r\n" * 100 + body,
    lambda body: b"",
]


@st.composite
def bodies(draw: st.DrawFn, valid: Any, names: Sequence[str]) -> bytes:
    """A valid body with hostile fields in it, now and then broken; or anything at all."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(tokens | st.binary(max_size=60))
    body = render(valid, draw(fields_of(names)), draw(st.booleans()))
    return draw(st.sampled_from(_BROKEN))(body) if kind == 1 else body
