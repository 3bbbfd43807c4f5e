// What the reference page is made from.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Metrics } from '../../runtime/metrics.ts';

const test = suite('metrics');

test('every metric has our prefix, a type, and a sentence of help', async () => {
  const facts = await new Metrics().facts();
  assert.ok(facts.length > 10);
  for (const { name, type, help } of facts) {
    assert.match(name, /^vbs_[a-z_]+$/);
    assert.ok(['counter', 'gauge', 'histogram'].includes(type), `${name} is a ${type}`);
    assert.match(help, /^\S.*\.$/);
  }
});

test('facts are those that are served, with their labels', async () => {
  const metrics = new Metrics();
  metrics.watchEnded('volumes', 'gone');
  metrics.leading('vbs-controller', true);
  const text = await metrics.text();
  for (const { name, type, help } of await metrics.facts()) {
    assert.ok(text.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`), name);
  }
  const labels = (name: string, facts: Awaited<ReturnType<Metrics['facts']>>) =>
    facts.find((fact) => fact.name === name)?.labels;
  const facts = await metrics.facts();
  assert.equal(labels('vbs_reflector_watch_ends_total', facts), ['resource', 'how']);
  assert.ok(text.includes('vbs_reflector_watch_ends_total{resource="volumes",how="gone"} 1'));
});

test('a pool has numbers while it is seen, and is faulty or not', async () => {
  const metrics = new Metrics();
  metrics.pooled('main', { total: 10n, free: 4n, retained: 3n, dying: 1n, retainedCount: 2 }, false);
  const seen = await metrics.text();
  assert.ok(seen.includes('vbs_pool_bytes{pool="main",kind="free"} 4\n'));
  assert.ok(seen.includes('vbs_pool_bytes{pool="main",kind="retained"} 3\n'));
  assert.ok(seen.includes('vbs_pool_bytes{pool="main",kind="dying"} 1\n'));
  assert.ok(seen.includes('vbs_pool_retained{pool="main"} 2\n'));
  assert.ok(seen.includes('vbs_pool_faulty{pool="main"} 0\n'));
  metrics.pooled('main', undefined, true);
  const unseen = await metrics.text();
  assert.not.ok(unseen.includes('vbs_pool_bytes{'));
  assert.not.ok(unseen.includes('vbs_pool_retained{'));
  assert.ok(unseen.includes('vbs_pool_faulty{pool="main"} 1\n'));
});

test('leftovers are told by role and kind, and kinds without any as well', async () => {
  const metrics = new Metrics();
  metrics.leftOver('VolumeServer', { Backing: 2, Record: 1 });
  metrics.leftOver('Hypervisor', { Disk: 1, Record: 0 });
  metrics.leftOver('VolumeServer', { Backing: 0, Record: 1 });
  const text = await metrics.text();
  assert.equal(text.match(/^vbs_leftovers{.*$/gm), [
    'vbs_leftovers{role="VolumeServer",kind="Backing"} 0',
    'vbs_leftovers{role="VolumeServer",kind="Record"} 1',
    'vbs_leftovers{role="Hypervisor",kind="Disk"} 1',
    'vbs_leftovers{role="Hypervisor",kind="Record"} 0',
  ]);
});

test('a metric that is added later is told as well', async () => {
  const metrics = new Metrics();
  metrics.counter({ name: 'vbs_new_total', help: 'A new one.', labels: ['what'] });
  const found = (await metrics.facts()).find(({ name }) => name === 'vbs_new_total');
  assert.equal(found, { name: 'vbs_new_total', type: 'counter', labels: ['what'], help: 'A new one.' });
});

test.run();
