"""A document is had as it is published, from where it was looked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from extauthz.keys.fetch import Fetched, FetchError, fetch

from .fetching import BODY, fault, get, limits
from .rough_server import RoughServer, answer, hang, rough_server


class TestAnswers:
    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "application/jwk-set+json", "application/octet-stream", "text/plain"],
    )
    async def test_a_document_is_had_whatever_it_is_called(
        self, server: RoughServer, content_type: str
    ) -> None:
        got = await get(server, answer(BODY, f"Content-Type: {content_type}"))
        assert got == Fetched(body=BODY)

    async def test_without_content_length_the_end_of_the_connection_is_the_end(
        self, server: RoughServer
    ) -> None:
        got = await get(server, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
        assert got.body == BODY

    async def test_a_chunked_answer_is_put_together(self, server: RoughServer) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        got = await get(server, head + b"4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n")
        assert got.body == b"abcdef"

    async def test_a_web_page_is_told(self, server: RoughServer) -> None:
        got = await get(server, answer(b"<html>", "Content-Type: text/html; charset=utf-8"))
        assert got.is_html

    @pytest.mark.requirement("R31")
    @pytest.mark.parametrize(
        "status",
        [
            "201 Created",
            "204 No Content",
            "206 Partial Content",
            "304 Not Modified",
            "400 Bad Request",
            "401 Unauthorized",
            "404 Not Found",
            "500 Oops",
            "503 Busy",
        ],
    )
    async def test_any_other_status_is_no_answer_even_with_a_good_body(
        self, server: RoughServer, status: str
    ) -> None:
        code = status.split(" ", maxsplit=1)[0]
        body = b"" if code in {"204", "304"} else BODY
        found = await fault(server, answer(body, status=status))
        assert f"status {code}" in str(found)
        assert found.answered

    async def test_the_body_never_shows_in_a_message(self, server: RoughServer) -> None:
        found = await fault(server, answer(b"s3cret-body", status="500 s3cret-reason"))
        assert "s3cret" not in str(found)

    async def test_the_query_of_the_url_never_shows_in_a_message(self) -> None:
        with pytest.raises(FetchError) as caught:
            await fetch("http://example.com/keys?secret=s3cret", limits())
        assert "s3cret" not in str(caught.value)

    async def test_nothing_of_the_environment_is_sent_or_used(
        self, server: RoughServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """No proxy, no netrc, no cookies, and compression is not asked for."""
        (tmp_path / "netrc").write_text("machine localhost login u password p\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        await get(server, answer(BODY))
        head = server.asked[0].lower()
        assert "accept-encoding: identity\r\n" in head
        assert "authorization" not in head
        assert "cookie" not in head


class TestFreshness:
    @pytest.mark.parametrize(
        ("header", "max_age"),
        [
            ("max-age=300", 300),
            ("public, max-age=300, must-revalidate", 300),
            ("MAX-AGE = 300", 300),
            ('max-age="300"', 300),
            ("max-age=0", 0),
            ("max-age=31536000", 31536000),
            ("max-age=300, max-age=60", 60),
            ("no-store", None),
            ("no-cache", None),
            ("max-age=-1", None),
            ("max-age=abc", None),
            ("max-age=1.5", None),
            ("max-age=100000000000000000000", None),
            ("s-maxage=300", None),
            ("x-max-age=300", None),
            ("", None),
        ],
    )
    async def test_max_age_is_read(
        self, server: RoughServer, header: str, max_age: float | None
    ) -> None:
        got = await get(server, answer(BODY, f"Cache-Control: {header}"))
        assert got.max_age == max_age

    async def test_two_lines_count_as_one_and_age_is_taken_off(self, server: RoughServer) -> None:
        lines = ["Cache-Control: public", "Cache-Control: max-age=300", "Age: 100"]
        assert (await get(server, answer(BODY, *lines))).max_age == 200
        assert (await get(server, answer(BODY, *lines[:2], "Age: 9999"))).max_age == 0
        assert (await get(server, answer(BODY, *lines[:2], "Age: x"))).max_age == 300

    async def test_an_entity_tag_is_offered_and_304_understood(self, server: RoughServer) -> None:
        got = await get(server, answer(BODY, 'ETag: W/"v1"'))
        assert got.etag == 'W/"v1"'
        page = answer(b"", "Cache-Control: max-age=60", status="304 Not Modified")
        got = await get(server, page, etag=got.etag)
        assert 'if-none-match: w/"v1"\r\n' in server.asked[1].lower()
        assert got == Fetched(not_modified=True, etag='W/"v1"', max_age=60)

    @pytest.mark.parametrize("tag", ["v1", '"a"b"', '"' + "x" * 500 + '"', "", '"\u00e9"'])
    async def test_an_odd_entity_tag_is_dropped(self, server: RoughServer, tag: str) -> None:
        assert (await get(server, answer(BODY, f"ETag: {tag}"))).etag is None

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            (["Retry-After: 120"], 120),
            (["Retry-After: 0"], 0),
            (
                [
                    "Date: Sat, 21 Nov 2026 10:00:00 GMT",
                    "Retry-After: Sat, 21 Nov 2026 10:02:00 GMT",
                ],
                120,
            ),
            (
                [
                    "Date: Sat, 21 Nov 2026 10:00:00 GMT",
                    "Retry-After: Sat, 21 Nov 2026 09:00:00 GMT",
                ],
                0,
            ),
            (["Retry-After: Sat, 21 Nov 2026 10:02:00 GMT"], None),
            (["Date: Sat, 21 Nov 2026 10:00:00 GMT", "Retry-After: 21 Nov 2026 10:02:00"], None),
            (["Retry-After: -5"], None),
            (["Retry-After: soon"], None),
            ([f"Retry-After: Sat, 21 Nov {'9' * 20} 10:02:00 GMT"], None),
            ([f"Retry-After: Sat, 21 Nov 2026 10:02:00 +{'9' * 20}"], None),
            ([], None),
        ],
    )
    async def test_retry_after_is_read_without_our_own_clock(
        self, server: RoughServer, headers: list[str], seconds: float | None
    ) -> None:
        found = await fault(server, answer(b"", *headers, status="503 Busy"))
        assert found.retry_after == seconds


class TestRedirects:
    async def test_one_on_the_same_origin_is_followed(self, server: RoughServer) -> None:
        server.pages["/final"] = answer(BODY)
        for location in ("/final", server.origin + "/final", "final", "./final?"):
            for status in ("301 x", "302 x", "303 x", "307 x", "308 x"):
                page = answer(b"", f"Location: {location}", status=status)
                server.pages["/final?"] = server.pages["/final"]
                assert (await get(server, page)).body == BODY

    @pytest.mark.parametrize(("hops", "followed"), [(3, True), (4, False)])
    async def test_at_most_three_are_followed(
        self, server: RoughServer, hops: int, followed: bool
    ) -> None:
        for hop in range(1, hops):
            server.pages[f"/{hop}"] = answer(b"", f"Location: /{hop + 1}", status="302 x")
        server.pages[f"/{hops}"] = answer(BODY)
        start = answer(b"", "Location: /1", status="302 x")
        if followed:
            assert (await get(server, start)).body == BODY
        else:
            assert "more than 3 redirects" in str(await fault(server, start))

    async def test_a_circle_ends(self, server: RoughServer) -> None:
        await fault(server, answer(b"", "Location: /keys", status="302 x"))
        assert len(server.asked) == 4

    async def test_another_origin_is_not_asked(self, server: RoughServer) -> None:
        async with rough_server() as other:
            locations = [
                other.origin + "/keys",
                f"//127.0.0.1:{server.port}/keys",
                f"https://localhost:{server.port}/keys",
                f"http://localhost:{server.port}@evil.example/",
                "http://169.254.169.254/latest/meta-data/",
                "file:///etc/passwd",
                "http://[/",
                "",
            ]
            for location in locations:
                page = answer(BODY, f"Location: {location}", status="302 x")
                assert "redirects elsewhere" in str(await fault(server, page))
            await fault(server, answer(BODY, status="302 x"))
            assert other.asked == []
        assert server.paths() == ["/keys"] * (len(locations) + 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/keys",
        "ftp://localhost/",
        "file:///etc/passwd",
        "http://a@localhost/",
        "",
    ],
)
async def test_other_urls_are_refused_unasked(url: str) -> None:
    with pytest.raises(FetchError):
        await fetch(url, limits())


async def test_a_host_allowed_by_name_may_be_asked_over_plain_http(server: RoughServer) -> None:
    """The name decides, not the address it has."""
    url = f"http://127.0.0.1.nip.invalid:{server.port}/"
    with pytest.raises(FetchError, match="plain http is refused"):
        await fetch(url, limits())
    allowed = frozenset({"127.0.0.1.nip.invalid"})
    with pytest.raises(FetchError, match=r"resolve|no connection"):
        await fetch(url, limits(allow_http_hosts=allowed))


async def test_a_cancelled_fetch_ends_at_once(server: RoughServer) -> None:
    server.pages["/keys"] = hang
    task = asyncio.create_task(fetch(server.origin + "/keys", limits()))
    async with asyncio.timeout(5):
        while not server.asked:  # noqa: ASYNC110  the server has no event to wait for
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
