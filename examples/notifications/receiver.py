"""A receiver of Fabric Saga's notifications: checks the signature, and makes a card for Teams and a message for Slack.

It needs nothing but Python. Put it behind any web server, for example as a function: read the body as bytes, call
`is_genuine`, answer 204 at once, and post the card to the incoming webhook of the channel.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

TOLERANCE_SECONDS = 300
WORDS = {
    "approval_waiting": "waits for an approval",
    "held": "failed and is held: decide whether to resume or to roll it back",
    "stuck": "is stuck: its rollback is not complete",
}
ENDS = {
    "succeeded": "succeeded",
    "compensated": "failed and was rolled back",
    "cancelled": "was cancelled and rolled back",
    "failed": "failed and is not rolled back",
    "rejected": "was rejected: nothing was done",
}


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Return True if the holder of the secret sent this body, less than five minutes ago (Standard Webhooks).

    `headers` has lower-case names. Remember the header `webhook-id` for a while: a repeated event has the same one.
    """
    try:
        sent_at = int(headers["webhook-timestamp"])
        content = f"{headers['webhook-id']}.{sent_at}.".encode() + body
        given = headers["webhook-signature"].encode().split()
    except (KeyError, ValueError):
        return False
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    wanted = b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    return abs(now - sent_at) <= TOLERANCE_SECONDS and any(hmac.compare_digest(wanted, each) for each in given)


def sentence(event: Mapping[str, Any]) -> str:
    """Return what happened, in one sentence."""
    data, kind = event["data"], event["type"].rpartition(".")[2]
    what = WORDS.get(kind) or ENDS.get(data["state"], data["state"])
    return f"{data['name']} on {data['target']} {what}."


def details(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts beside the sentence."""
    data = event["data"]
    asks, error = data.get("approval", {}), data.get("error", {})
    found = [
        ("Deployment", data["deployment_id"]),
        ("Requested by", data["requested_by"]),
        ("Question", asks.get("message", "")),
        ("Until", asks.get("until", "")),
        ("Error", error.get("message", "")),
        ("What to do", error.get("remedy", "")),
        *data["labels"].items(),
    ]
    return [(name, text) for name, text in found if text]


def teams_message(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message for a Teams workflow ("Post to a channel when a webhook request is received").

    A TextBlock and a FactSet show Markdown, so a name from outside could bring a link into the card; a TextRun does not:
    https://learn.microsoft.com/adaptive-cards/schema-explorer/text-run.
    """
    body = [_plain((sentence(event), True)), *(_plain((f"{name}: ", True), (text, False)) for name, text in details(event))]
    card: dict[str, Any] = {"type": "AdaptiveCard", "version": "1.4", "body": body}
    if page := event["data"].get("page"):
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": page}]
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def _plain(*runs: tuple[str, bool]) -> dict[str, Any]:
    """Return a line of texts that are shown as they are, each bold or not."""
    inlines = [{"type": "TextRun", "text": text, "weight": "bolder" if is_bold else "default"} for text, is_bold in runs]
    return {"type": "RichTextBlock", "inlines": inlines}


def slack_message(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message for a Slack incoming webhook. Text from outside is plain text, so it contains no mention."""
    facts = "\n".join(f"{name}: {text}" for name, text in details(event))
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": sentence(event)[:3000]}},
        {"type": "section", "text": {"type": "plain_text", "text": facts[:3000]}},
    ]
    if page := event["data"].get("page"):
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": page}
        blocks.append({"type": "actions", "elements": [button]})
    notification = sentence(event)[:600].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": notification, "blocks": blocks}
