"""Who may ask: a token, compared whole; without one, programs of this machine and no web page."""

import pytest
import requests

from pages.api.serve import check_address
from workspace.errors import ConfigError

TOKEN = "a-token-that-nobody-guesses"


def test_with_a_token_only_its_holder_is_answered(start, png) -> None:
    url = start(token=TOKEN)

    def ask(**headers: str) -> requests.Response:
        return requests.post(f"{url}/classify", data=png(1), headers=headers, timeout=30)

    without = ask()
    assert (without.status_code, without.json()["reason"]) == (401, "no_token")
    assert without.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \xe9"):
        assert (ask(authorization=wrong).status_code, ask(authorization=wrong).json()["reason"]) == (401, "wrong_token")
    assert ask(authorization=f"Bearer {TOKEN}").status_code == 200
    assert ask(authorization=f"bearer {TOKEN}", host="pictures.example.org").status_code == 200
    assert requests.get(f"{url}/metrics", timeout=30).status_code == 401
    for open_to_all in ("/health/live", "/health/ready", "/docs", "/openapi.json", "/static/api_docs.css"):
        assert requests.get(url + open_to_all, timeout=30).status_code == 200, open_to_all
    assert requests.get(f"{url}/static/review.js", timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),  # DNS rebinding
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "[::1"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_without_a_token_no_web_page_is_answered(plain, headers, status, png) -> None:
    refused = requests.post(f"{plain}/classify", data=png(1), headers=headers, timeout=30)
    assert refused.status_code == status and refused.json()["reason"] in {"wrong_host", "wrong_origin"}
    assert requests.get(f"{plain}/metrics", headers=headers, timeout=30).status_code == status


@pytest.mark.parametrize("host", ["127.0.0.5", "127.0.0.5:8000", "[::1]:8000", "localhost"])
def test_every_name_of_this_machine_is_answered_without_a_token(plain, host, png) -> None:
    assert requests.post(f"{plain}/classify", data=png(1), headers={"host": host}, timeout=30).status_code == 200


def test_every_answer_has_the_headers_of_the_pages(plain) -> None:
    for answer in (requests.get(f"{plain}/docs", timeout=30), requests.get(f"{plain}/nothing", timeout=30)):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store" and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "pictures.example.org", "127.0.0.1.example"])
def test_an_address_that_others_reach_needs_a_token_of_some_length(host) -> None:
    for token in ("", "short"):
        with pytest.raises(ConfigError, match="COLLECT_AND_TRAIN_TOKEN"):
            check_address(host, token)
    check_address(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_loopback_needs_none(host) -> None:
    check_address(host, "")
