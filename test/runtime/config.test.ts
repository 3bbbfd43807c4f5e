import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig, parseConfig } from '../../runtime/config.ts';
import { ConfigError } from '../../runtime/errors.ts';

const test = suite('config');

const schema = {
  type: 'object',
  required: ['host'],
  additionalProperties: false,
  properties: {
    host: { type: 'string', pattern: '^[a-z0-9-]+$' },
    level: { enum: ['info', 'debug'], default: 'info' },
    http: {
      type: 'object',
      additionalProperties: false,
      default: {},
      properties: { port: { type: 'integer', minimum: 0, default: 8080 } },
    },
    pools: {
      type: 'array',
      default: [],
      items: { type: 'object', additionalProperties: false, properties: { group: { type: 'string' } } },
    },
  },
};

const complaint = (text: string): string => {
  try {
    parseConfig('agent.yaml', text, schema);
  } catch (error) {
    assert.instance(error, ConfigError);
    return (error as Error).message;
  }
  throw new Error('it should have been refused');
};

test('defaults are filled in, and nobody can change the result', () => {
  const config = parseConfig<{ http: { port: number } }>('agent.yaml', 'host: xen07\n', schema);
  assert.equal(config, { host: 'xen07', level: 'info', http: { port: 8080 }, pools: [] });
  assert.throws(() => Object.assign(config.http, { port: 1 }), TypeError);
});

const complaints: [name: string, text: string, message: string][] = [
  [
    'an unknown key, with a guess',
    'host: a\nhttp:\n  prot: 1\n',
    'agent.yaml:3: http.prot: there is no such key; remove it or write port',
  ],
  ['an unknown key', 'host: a\nzebra: 1\n', 'agent.yaml:2: zebra: there is no such key; remove it'],
  ['a missing key', 'level: info\n', 'agent.yaml:1: the file: the key host is missing; add it'],
  [
    'a wrong type',
    'host: a\nhttp:\n  port: many\n',
    'agent.yaml:3: http.port: must be integer; change the value',
  ],
  ['a wrong choice', 'host: a\nlevel: loud\n', 'agent.yaml:2: level: must be one of info, debug'],
  [
    'a wrong number',
    'host: a\nhttp: {port: -1}\n',
    'agent.yaml:2: http.port: must be >= 0; change the value',
  ],
  [
    'an entry of a list',
    'host: a\npools:\n  - group: vg0\n  - group: 7\n',
    'agent.yaml:4: pools.1.group: must be string; change the value',
  ],
  ['no mapping at all', '- a\n', 'agent.yaml:1: the file: must be object; change the value'],
  ['nothing at all', '', 'agent.yaml:1: the file: the key host is missing; add it'],
];
for (const [name, text, message] of complaints) {
  test(`it names ${name}`, () => assert.is(complaint(text), message));
}

test('all faults are named at once', () => {
  assert.is(complaint('hots: a\nlevel: loud\n').split('\n').length, 3);
});

test('broken YAML is told with its place', () => {
  assert.match(complaint('host: a\nhttp: [1\n'), /^agent\.yaml:\d+:\d+: not valid YAML: /);
  assert.match(complaint('host: a\nhost: b\n'), /agent\.yaml:2:1: not valid YAML: .*unique/);
});

test('a file that is not there is a configuration error', async () => {
  try {
    await loadConfig('/nonexistent/agent.yaml', schema);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, ConfigError);
    assert.match((error as Error).message, '/nonexistent/agent.yaml: cannot be read');
  }
});

test.run();
