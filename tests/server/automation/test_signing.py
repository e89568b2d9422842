"""Signatures of webhooks: those of Standard Webhooks."""

from __future__ import annotations

import base64

import pytest

from marquetry.server.automation.errors import AutomationError
from marquetry.server.automation.signing import checked_secret, is_genuine, new_secret, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the published example


def test_the_published_example_has_the_published_signature() -> None:
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [SECRET])
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_replaced_receivers_with_either_believe_it() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("msg_1", 1000, b"{}", [new, old])
    assert [is_genuine(headers, b"{}", secret, 1010) for secret in (old, new, new_secret())] == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "body", "now_s"),
    [({"webhook-id": "msg_2"}, b"{}", 1000), ({"webhook-timestamp": "1001"}, b"{}", 1000), ({}, b"{ }", 1000), ({}, b"{}", 1301),
     ({"webhook-signature": "v1,"}, b"{}", 1000), ({"webhook-timestamp": "soon"}, b"{}", 1000)],
)  # fmt: skip
def test_what_was_changed_or_is_old_is_not_believed(changes: dict[str, str], body: bytes, now_s: int) -> None:
    headers = {**signed_headers("msg_1", 1000, b"{}", [SECRET]), **changes}
    assert not is_genuine(headers, body, SECRET, now_s)


def test_secrets_that_owners_bring_are_long_enough() -> None:
    assert checked_secret(SECRET) == SECRET
    for wrong in ("secret", "whsec_", "whsec_!!!", f"whsec_{base64.b64encode(b'short').decode()}"):
        with pytest.raises(AutomationError):
            checked_secret(wrong)
