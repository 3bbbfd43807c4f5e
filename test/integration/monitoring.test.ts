// The alerts in Prometheus, and the panels of the dashboard over what a controller that works tells.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loud } from '../harness/loud.ts';
import { waitFor } from '../harness/process.ts';
import { type Prometheus, promtool, startPrometheus } from '../harness/prometheus.ts';
import { attachment, openStory, type Story, volume } from '../harness/story.ts';
import { ROOT } from '../harness/system.ts';

const log = (line: string) => process.stdout.write(`# ${line}\n`);
const RULES = path.join(ROOT, 'deploy/monitoring/alerts.yaml');

interface World {
  story: Story;
  prometheus: Prometheus;
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const panels = (
  JSON.parse(await readFile(path.join(ROOT, 'deploy/monitoring/dashboard.json'), 'utf8')) as {
    panels: Panel[];
  }
).panels.filter(({ type }) => type !== 'row');

const exprOf = ({ targets }: Panel): string =>
  (targets?.[0]?.expr ?? '').replaceAll('$__rate_interval', '1m');

const test = suite<World>('monitoring');

test.before(
  loud(async (world) => {
    world.story = await openStory(log);
    const { http } = (await world.story.configOf('controller')) as {
      readonly http: { readonly port: number };
    };
    world.prometheus = await startPrometheus({
      dir: world.story.workdir.dir,
      targets: [`127.0.0.1:${http.port}`],
      ruleFiles: [RULES],
    });
  }),
);

test.after(
  loud(async ({ story, prometheus }) => {
    await prometheus?.stop();
    await story?.close();
  }),
);

test('promtool takes the alerts, and each fires when it has to and not else', async () => {
  assert.match(await promtool('check', 'rules', RULES), /SUCCESS: 23 rules found/);
  assert.match(
    await promtool('test', 'rules', path.join(ROOT, 'test/deploy/alerts.promtool.yaml')),
    'SUCCESS',
  );
});

test('every panel has a title of its own and a question that Prometheus understands', async ({
  prometheus,
}) => {
  assert.is(new Set(panels.map(({ title }) => title)).size, panels.length);
  for (const panel of panels) {
    await prometheus.query(exprOf(panel));
  }
});

test('what a volume in a guest looks like', async ({ story, prometheus }) => {
  await story.guest('vm-a');
  await story.makeVolume('db');
  await story.attach('db-on-vm-a', 'db', 'vm-a');
  await story.waitReady(volume('db'));
  await story.waitReady(attachment('db-on-vm-a'));
  const shows = (title: string, value: string) =>
    waitFor({ what: `the panel "${title}" to show ${value}`, timeoutMs: 60_000 }, async () => {
      const panel = panels.find((one) => one.title === title);
      const [answer] = panel === undefined ? [] : await prometheus.query(exprOf(panel));
      return answer?.value[1] === value;
    });
  await shows('Leader', '1');
  await shows('Volumes', '1');
  await shows('Volumes not Ready', '0');
  await shows('Disks in machines', '1');
  for (const well of [
    'Silent hosts',
    'Unsafe hosts',
    'Faulty pools',
    'Leftovers',
    'Orphaned data',
    'Disks that stand still',
  ]) {
    await shows(well, '0');
  }
});

test('each of the first row has an answer, each alert works, and none fires', async ({ prometheus }) => {
  for (const panel of panels.filter(({ type }) => type === 'stat')) {
    assert.is((await prometheus.query(exprOf(panel))).length, 1, panel.title);
  }
  const rules = await prometheus.rules();
  assert.equal(
    rules.filter(({ health }) => health !== 'ok'),
    [],
  );
  assert.equal(await prometheus.query('ALERTS{alertstate="firing"}'), []);
});

test('a silent server is seen', async ({ story, prometheus }) => {
  await story.system.kill('server-1');
  await waitFor({ what: 'the alert to be pending', timeoutMs: 120_000 }, async () => {
    const found = await prometheus.query('ALERTS{alertname="VBSVolumeServerSilent",host="server-1"}');
    return found.length === 1;
  });
});

test.run();
