"""What an alert says, and how it is known again."""

from decimal import Decimal

import msgspec

from antiphon.policy.alert import EVENT, alert_of, event, subject, text
from antiphon.policy.budget import BudgetSettings, Crossing, Window
from antiphon.policy.directory import SpendAlert
from antiphon.policy.webhook import signature, signing_key

SETTINGS = BudgetSettings(id="budget_1", scope="key", owner="key_1", window="hourly", limit=Decimal("0.1"))
CROSSING = Crossing(
    budget=SETTINGS, window=Window(3_600, 7_200), threshold=Decimal("0.125"), spent=Decimal("0.012500000000000001")
)


def test_an_alert_is_told_in_words_and_as_an_event():
    alert = alert_of(CROSSING, "default", 5_000.5)
    assert subject(alert) == "12.5 % of the hourly budget of key key_1 is spent"
    assert text(alert) == (
        "Key key_1 has spent $0.012500000000000001 of its hourly budget of $0.10 (12.5 % is reached). "
        "The budget begins anew at 1970-01-01 02:00 UTC."
    )
    told = event(alert)
    assert (told["id"], told["object"], told["type"], told["created_at"]) == (alert.id, "event", EVENT, 5_000)
    assert told["data"]["spent"] == "0.012500000000000001"
    assert told["data"]["threshold"] == "0.125"


def test_one_that_counts_because_a_request_was_refused_says_so():
    alert = alert_of(msgspec.structs.replace(CROSSING, threshold=Decimal(1), refused=True), "default", 0.0)
    assert "What is left did not pay for a request, which was refused." in text(alert)
    assert "is reached" not in text(alert)


def test_its_id_follows_from_what_it_is_about():
    alert = alert_of(CROSSING, "default", 1.0)
    assert alert_of(CROSSING, "default", 2.0).id == alert.id
    others = [
        alert_of(CROSSING, "org-other", 1.0),
        alert_of(msgspec.structs.replace(CROSSING, threshold=Decimal(1)), "default", 1.0),
        alert_of(msgspec.structs.replace(CROSSING, window=Window(0, 3_600)), "default", 1.0),
        alert_of(
            msgspec.structs.replace(CROSSING, budget=msgspec.structs.replace(SETTINGS, limit=Decimal(1))),
            "default",
            1.0,
        ),
    ]
    assert len({alert.id, *(other.id for other in others)}) == 5


def test_a_spend_alert_names_its_recipients():
    asked = SpendAlert(
        id="alert_1",
        organization="default",
        scope="key",
        owner="key_1",
        amount=Decimal("0.1"),
        recipients=("a@b.example",),
        subject_prefix="[Money]",
        created_at=1.0,
    )
    alert = alert_of(CROSSING, "default", 1.0, asked)
    assert alert.recipients == ("a@b.example",)
    assert subject(alert).startswith("[Money] 12.5 %")


def test_a_signature_is_that_of_standard_webhooks():
    """The example of https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
