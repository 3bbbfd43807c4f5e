// The alerts and the dashboard against the programs: whatever they ask for is there to be asked for, and each alert has a page that says what to do.
// (That they fire is promtool's to say: test/integration/monitoring.test.ts.)
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { infoOf } from '../../api/reasons.ts';
import { UNSEEN } from '../../controller/figures.ts';
import { metricFacts } from '../../scripts/generate/metrics-page.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string): Promise<string> => readFile(path.join(ROOT, file), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const rulesIn = (text: string): readonly Rule[] =>
  (parse(text) as { groups: { rules: Rule[] }[] }).groups.flatMap(({ rules }) => rules);

const rules = rulesIn(await read('deploy/monitoring/alerts.yaml'));
const facts = new Map((await metricFacts()).map((fact) => [fact.name, fact]));

/** Metrics of ours in an expression of PromQL, each with the labels that are matched in braces. */
const metricsIn = (expr: string): readonly { readonly name: string; readonly labels: readonly string[] }[] =>
  [...expr.matchAll(/\b(vbs_[a-z_]+)(?:\{([^}]*)\})?/g)].map(([, name = '', matchers = '']) => ({
    name: name.replace(/_(bucket|count|sum)$/, ''),
    labels: [...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  }));

/** Values that a label is matched against, as in reason=~"A|B". */
const valuesIn = (expr: string, label: string): readonly string[] =>
  [...expr.matchAll(new RegExp(`\\b${label}[=!]~?"([^"]*)"`, 'g'))].flatMap(([, values = '']) =>
    values.split('|'),
  );

const assertAsked = (expr: string): void => {
  for (const metric of metricsIn(expr)) {
    const fact = facts.get(metric.name);
    assert.ok(fact, `${metric.name} is told by nobody`);
    for (const label of metric.labels.filter((one) => !['le', 'instance'].includes(one))) {
      assert.ok(fact.labels.includes(label), `${metric.name} has no label ${label}`);
    }
  }
  for (const reason of valuesIn(expr, 'reason').filter((one) => one !== UNSEEN)) {
    assert.ok(infoOf(reason), `there is no reason ${reason}`);
  }
};

for (const { alert, expr, labels, annotations } of rules) {
  const test = suite(alert);

  test('it asks for metrics and reasons that there are', () => assertAsked(expr));

  test('it says what is wrong, how bad it is, and where it stands what to do', async () => {
    assert.ok(['critical', 'warning'].includes(labels.severity));
    assert.ok(annotations.summary && annotations.description);
    assert.is(annotations.runbook_url, `docs/runbooks/${alert}.md`);
    const page = await read(`docs/runbooks/${alert}.md`);
    assert.match(page, `# ${alert}\n\n*${labels.severity}.* `);
    assert.match(page, /^## Look\n\n```\n(?:.+\n)+```\n\n## Do\n/m);
  });

  test.run();
}

const test = suite('alerts');

test('every page of docs/runbooks is of an alert, and stands in the list', async () => {
  const pages = (await readdir(path.join(ROOT, 'docs/runbooks'))).filter((name) => name !== 'README.md');
  assert.equal(pages.sort(), rules.map(({ alert }) => `${alert}.md`).sort());
  const list = await read('docs/runbooks/README.md');
  for (const { alert, labels } of rules) {
    assert.match(list, `| [${alert}](${alert}.md) | ${labels.severity} |`);
  }
});

test('the dashboard asks for metrics and reasons that there are', async () => {
  const { panels } = JSON.parse(await read('deploy/monitoring/dashboard.json')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  assert.ok(asked.length > 0);
  for (const expr of asked) {
    assertAsked(expr);
  }
});

test('promtool is asked about every alert', async () => {
  const cases = await read('test/deploy/alerts.promtool.yaml');
  for (const { alert } of rules) {
    assert.match(cases, `alertname="${alert}"`);
  }
});

test.run();
