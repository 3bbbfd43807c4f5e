import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fioOn, JOBS, readBonnie } from '../../../scripts/bench-lab/measures.ts';
import { chart, table } from '../../../scripts/bench-lab/report.ts';

const test = suite('figures of the bench');

/** As Bonnie++ 2.00a printed it, but for figures in the place of what took no time. */
const LINE =
  '1.98,2.00a,vm,1,1795713442,384M,,8192,5,660,53,20000,30,10000,20,1057,52,40000,30,120.5,9,1,,,,,800,50,+++++,+++,900,40,700,50,+++++,+++,800,40,199ms,48036us,13181us,84344us,2635us,18316us,33773us,1215us,1283us,17504us,7us,3756us';

test('a line of Bonnie++ is read, and what it did not measure is left out', () => {
  const figures = readBonnie(`Version 2.00a ------\n${LINE}\n`);
  assert.equal(figures.get('block write'), { unit: 'MB/s', value: 20.48 });
  assert.equal(figures.get('block read'), { unit: 'MB/s', value: 40.96 });
  assert.equal(figures.get('seeks'), { unit: '/s', value: 120.5 });
  assert.equal(figures.get('file create'), { unit: '/s', value: 800 });
  assert.equal(figures.get('file delete'), { unit: '/s', value: 900 });
  assert.is(readBonnie(LINE.replace(',120.5,', ',+++++,')).has('seeks'), false);
  assert.throws(() => readBonnie("Can't open file\n"), /no line of results/);
});

test('answers of fio are read past its warnings, and an empty one is refused', async () => {
  const ran = (iops: number) => ({ iops, bw_bytes: iops * 1024 ** 2 });
  const answer = (iops: number) =>
    `fio: a warning\n${JSON.stringify({ jobs: [{ read: ran(iops), write: ran(iops) }] })}`;
  const [first] = JOBS;
  assert.ok(first);
  const figures = await fioOn(async () => answer(10), '/dev/x', [first]);
  assert.equal(figures.get(first.name), { unit: 'MB/s', value: 10.48576 });
  let message = '';
  await fioOn(async () => answer(0), '/dev/x').catch((error: unknown) => {
    message = String(error);
  });
  assert.match(message, 'measured nothing');
});

test('tables and pictures show shares of the base', () => {
  const column = (name: string, value: number) => ({
    name,
    figures: new Map([['seeks', { unit: '/s' as const, value }]]),
  });
  const columns = [column('local LV', 100), column('VBS & co', 42)] as const;
  assert.match(
    table(['seeks'], columns, (operation) => columns[0].figures.get(operation)),
    '| seeks, /s | 100 (1.00) | 42 (0.42) |',
  );
  const picture = chart('shares', ['seeks'], columns);
  assert.match(picture, '>0.42</text>');
  assert.match(picture, 'VBS &amp; co');
});

test.run();
