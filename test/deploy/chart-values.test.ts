// What the chart takes as settings of agents on nodes is what the agent takes: what it refused would keep every agent from starting.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { agentSchema } from '../../node-agent/config.ts';

const test = suite('the settings of agents in the values of the chart');
const FILE = path.resolve(import.meta.dirname, '../../charts/vbs/values.schema.json');
/** What the pod itself says to the agent. */
const OF_POD = ['host', 'kubeconfig', 'stateDir', 'profileDirectories'];
/** What has a place of its own in nodeAgent. */
const OF_ITS_OWN = ['logLevel', 'metricsFile', 'volumeServer', 'hypervisor'];

type Schema = Readonly<Record<string, unknown>>;

const chart = JSON.parse(await readFile(FILE, 'utf8')) as Schema;

const at = (schema: Schema, ...keys: readonly string[]): Schema =>
  keys.reduce((found, key) => found[key] as Schema, schema);

/** With everything that is referred to in its place. */
function resolved(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(resolved);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const { $ref, ...rest } = value as Schema;
  return typeof $ref === 'string'
    ? resolved(at(chart, ...$ref.split('/').slice(1)))
    : Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, resolved(one)]));
}

/** Without defaults, which are the agent's; and without what it wants beside one another, as the chart lets a role be left out as a whole. */
const comparable = (schema: unknown): unknown =>
  JSON.parse(JSON.stringify(schema), (key, value) => {
    const isLeftOut = key === 'default' || key === 'dependencies';
    const isNothing = Array.isArray(value) && value.length === 0;
    return isLeftOut || (key === 'required' && isNothing) ? undefined : value;
  });

const withoutRequired = ({ required: _, ...rest }: Schema): Schema => rest;
const properties = agentSchema.properties as Readonly<Record<string, Schema>>;
const ofOne = at(chart, 'definitions', 'agent');
const ofAll = at(chart, 'properties', 'nodeAgent', 'properties');

test('settings of one node are the agent’s, but those that only its pod knows', () => {
  const wanted = Object.keys(properties).filter((key) => !OF_POD.includes(key));
  assert.equal(Object.keys(at(ofOne, 'properties')).sort(), wanted.toSorted());
  assert.is(ofOne.additionalProperties, false);
});

test('settings of all nodes are the same, but those with a place of their own', () => {
  const settings = at(ofAll, 'settings');
  const wanted = Object.keys(properties).filter((key) => ![...OF_POD, ...OF_ITS_OWN].includes(key));
  assert.equal(Object.keys(at(settings, 'properties')).sort(), wanted.toSorted());
  assert.is(settings.additionalProperties, false);
  for (const key of wanted) {
    assert.equal(resolved(at(settings, 'properties', key)), resolved(at(ofOne, 'properties', key)), key);
  }
});

for (const [key, schema] of Object.entries(properties).filter(([name]) => !OF_POD.includes(name))) {
  test(`${key} may be what the agent lets it be`, () => {
    const isRole = key === 'volumeServer' || key === 'hypervisor';
    assert.equal(
      comparable(resolved(at(ofOne, 'properties', key))),
      comparable(isRole ? withoutRequired(schema) : schema),
    );
    if (isRole) {
      assert.equal(resolved(ofAll[key]), resolved(at(ofOne, 'properties', key)));
    }
  });
}

test.run();
