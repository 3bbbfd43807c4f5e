import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keepMetricsFile } from '../../node-agent/metrics-file.ts';
import { FakeClock } from '../fakes/clock.ts';
import { recordingLog } from '../fakes/log.ts';
import { MemoryTree } from '../fakes/tree.ts';

const test = suite('the metrics file of an agent');
const path = '/metrics/vbs.prom';
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function setUp() {
  const files = new MemoryTree().files;
  await files.mkdir('/metrics');
  const clock = new FakeClock();
  const stop = new AbortController();
  const { log, lines } = recordingLog();
  let scrapes = 0;
  const metrics = {
    text: async () => {
      scrapes += 1;
      return `vbs_scrapes ${scrapes}\n`;
    },
  };
  const run = (where: string) => keepMetricsFile({ path: where, metrics, files, clock, log }, stop.signal);
  return { files, clock, stop, lines, run };
}

test('is written at once and again and again, and goes at the end', async () => {
  const { files, clock, stop, run } = await setUp();
  const ended = run(path);
  await settled();
  assert.is(await files.read(path), 'vbs_scrapes 1\n');
  await clock.advance(15_000);
  await settled();
  assert.is(await files.read(path), 'vbs_scrapes 2\n');
  stop.abort();
  await ended;
  assert.equal(await files.list('/metrics'), []);
});

test('a place that cannot be written is told once and stops nothing', async () => {
  const { clock, stop, lines, run } = await setUp();
  const ended = run('/nowhere/vbs.prom');
  await settled();
  await clock.advance(30_000);
  await settled();
  stop.abort();
  await ended;
  assert.equal(
    lines.map(({ message }) => message),
    ['Cannot write the metrics file'],
  );
});

test.run();
