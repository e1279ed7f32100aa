// pg-boss with several workers that take, send and complete jobs in batches, and poll as often as it permits.
'use strict';
const fs = require('node:fs');
const PgBoss = require('pg-boss');
const { post } = require('./post.js');

const WORKERS = 8;
const BATCH = 500;
const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, max: 10, supervise: false, schedule: false });
boss.on('error', console.error);

async function fill() {
  await boss.start();
  await boss.createQueue('deliver');
  const data = JSON.parse(fs.readFileSync(process.env.BODY_FILE, 'utf8'));
  for (let left = Number(process.env.COUNT); left > 0; left -= BATCH) {
    await boss.insert(Array.from({ length: Math.min(left, BATCH) }, () => ({ name: 'deliver', data })));
  }
  await boss.stop();
}

async function work() {
  await boss.start();
  const options = { batchSize: BATCH, pollingIntervalSeconds: 0.5 };
  for (let n = 0; n < WORKERS; n++) {
    await boss.work('deliver', options, (jobs) => Promise.all(jobs.map((job) => post(job.data))));
  }
}

({ fill, work })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
