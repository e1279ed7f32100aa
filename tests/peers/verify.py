"""Says of requests, given as a JSON list on standard input, whether the official libraries take them.

Each has `headers`, `body` (base64), and what the receiver knows: `secret` (whsec_...) or `public_key` (whpk_...). The
answer is a list of `accepted` with, of a CloudEvent, the `event` that the library reads.
"""

import base64
import json
import sys
import time

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

TOLERANCE_SECONDS = 300


def is_shared_secrets(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


def is_public_keys(public_key, headers, body):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    content = f"{identifier}.{timestamp}.".encode() + body
    for signature in headers["webhook-signature"].split(" "):
        version, _, value = signature.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(base64.b64decode(value), content)
            return True
        except InvalidSignature:
            continue
    return False


def cloud_event(headers, body):
    if "ce-id" not in headers and not headers.get("content-type", "").startswith("application/cloudevents"):
        return None
    event = from_http_event(HTTPMessage(headers=headers, body=body))
    attributes = {name: str(value) for name, value in event.get_attributes().items() if name != "time"}
    return {**attributes, "time": event.get_time().isoformat(), "data": event.get_data()}


def verdict(request):
    headers, body = request["headers"], base64.b64decode(request["body"])
    if "public_key" in request:
        accepted = is_public_keys(request["public_key"], headers, body)
    else:
        accepted = is_shared_secrets(request["secret"], headers, body)
    return {"accepted": accepted, "event": cloud_event(headers, body) if accepted else None}


print(json.dumps([verdict(request) for request in json.load(sys.stdin)]))
