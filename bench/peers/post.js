// One plain HTTP POST, over connections that are kept.
'use strict';
const http = require('node:http');

const CONNECTIONS = 64;
const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const target = new URL(process.env.SINK_URL);

exports.CONNECTIONS = CONNECTIONS;

exports.post = (payload) =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify(payload);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const request = http.request(target, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${response.statusCode}`)));
    });
    request.on('error', reject);
    request.end(body);
  });
