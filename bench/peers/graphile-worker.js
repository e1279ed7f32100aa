// graphile-worker as its own guide to performance tunes it: a local queue, and completions in batches.
'use strict';
const fs = require('node:fs');
const { run, runMigrations, Logger } = require('graphile-worker');
const { Client } = require('pg');
const { post, CONNECTIONS } = require('./post.js');

const connectionString = process.env.DATABASE_URL;
const silent = new Logger(() => (level, message) => level === 'error' && console.error(message));

async function fill() {
  await runMigrations({ connectionString, logger: silent });
  const client = new Client({ connectionString });
  await client.connect();
  const payload = fs.readFileSync(process.env.BODY_FILE, 'utf8');
  await client.query(
    "select count(graphile_worker.add_job('deliver', $1::json)) from generate_series(1, $2::int)",
    [payload, Number(process.env.COUNT)]);
  await client.end();
}

async function work() {
  await run({
    logger: silent,
    taskList: { deliver: post },
    preset: {
      worker: {
        connectionString,
        concurrentJobs: CONNECTIONS,
        maxPoolSize: 10,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
}

({ fill, work })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
