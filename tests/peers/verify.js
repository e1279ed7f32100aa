// Says of requests, given as a JSON list on standard input, whether the official libraries take them; as verify.py
// does. The libraries are found by NODE_PATH.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const { HTTP } = require('cloudevents');
const { Webhook, WebhookVerificationError } = require('standardwebhooks');

const TOLERANCE_SECONDS = 300;

function isSharedSecrets(secret, headers, body) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function isPublicKeys(publicKey, headers, body) {
  const x = Buffer.from(publicKey.replace(/^whpk_/, ''), 'base64').toString('base64url');
  const key = crypto.createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const timestamp = headers['webhook-timestamp'];
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const content = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${timestamp}.`), body]);
  return headers['webhook-signature'].split(' ').some((signature) => {
    const [version, value] = signature.split(',');
    return version === 'v1a' && crypto.verify(null, content, key, Buffer.from(value, 'base64'));
  });
}

function cloudEvent(headers, body) {
  const message = { headers, body: body.toString() };
  if (!HTTP.isEvent(message)) return null;
  const event = HTTP.toEvent(message);
  event.validate();
  return event.toJSON();
}

function verdict(request) {
  const body = Buffer.from(request.body, 'base64');
  const accepted =
    'public_key' in request
      ? isPublicKeys(request.public_key, request.headers, body)
      : isSharedSecrets(request.secret, request.headers, body);
  return { accepted, event: accepted ? cloudEvent(request.headers, body) : null };
}

const requests = JSON.parse(fs.readFileSync(0, 'utf8'));
console.log(JSON.stringify(requests.map(verdict)));
