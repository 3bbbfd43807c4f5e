import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadProfile, parseProfile } from '../../../node-agent/profiles/load.ts';
import { ProfileError } from '../../../node-agent/profiles/problems.ts';
import type { RoleName } from '../../../node-agent/profiles/vocabulary.ts';

const test = suite('loading profiles');
const shipped = join(import.meta.dirname, '../../../node-agent/profiles/shipped');

const healthy = `profile: 1
role: initiator
name: asker
provides: iscsi
params:
  tool: {type: word, default: x, description: a setting}
verbs:
  serial:
    exec: [ask, "{iqn}", "{tool}"]
    env: {PASSWORD: {secret: chap.password}}
    rows: {lines: '^(?<serial>.+)$'}
  capacity:
    exec: [ask, "{iqn}"]
    rows: {text: size}
`;

const problemsOf = (text: string, role: RoleName = 'initiator'): string => {
  try {
    parseProfile(text, 'p.yaml', role);
  } catch (error) {
    if (error instanceof ProfileError) {
      return error.message;
    }
    throw error;
  }
  return '';
};

test('every shipped profile loads', async () => {
  const roles: Readonly<Record<string, RoleName>> = {
    file: 'pool',
    'file-thin': 'pool',
    'file-reflink': 'pool',
    'lvm-thin': 'pool',
    'lvm-thick': 'pool',
    lio: 'target',
    'open-iscsi': 'initiator',
    tgt: 'target',
    qemu: 'initiator',
    'libvirt-virsh': 'vmm',
    'xen-xl': 'vmm',
    'proxmox-qm': 'vmm',
  };
  for (const file of await readdir(shipped)) {
    const name = file.replace('.yaml', '');
    const role = roles[name];
    if (role !== undefined) {
      const { hash } = await loadProfile(join(shipped, file), role);
      assert.match(hash, /^[0-9a-f]{64}$/);
    }
  }
  assert.is(problemsOf(healthy), '');
});

const mistakes: readonly (readonly [what: string, from: string, to: string, said: string])[] = [
  [
    'an unknown format',
    'profile: 1',
    'profile: 2',
    'p.yaml:1: profile: format 2 is unknown; this agent reads format 1',
  ],
  [
    'an unknown role',
    'role: initiator',
    'role: initator',
    'p.yaml:2: role: "initator" is unknown (did you mean "initiator"?)',
  ],
  [
    'another role',
    'role: initiator',
    'role: vmm',
    "p.yaml:2: role: is vmm, and the agent's configuration wants a initiator",
  ],
  ['an unknown key', 'provides:', 'provdes:', 'p.yaml:4: provdes: unknown key (did you mean "provides"?)'],
  [
    'an unknown verb',
    '  serial:',
    '  seral:',
    'p.yaml:8: verbs.seral: the role initiator has no such verb (did you mean "serial"?)',
  ],
  ['a missing verb', '  capacity:', '  version:', 'needs the verb capacity'],
  [
    'an unknown parameter',
    '{iqn}", "{tool}',
    '{inq}", "{tool}',
    'p.yaml:9: verbs.serial.exec.1: unknown parameter {inq} (did you mean "iqn"?)',
  ],
  [
    'a step key that is none',
    'env:',
    'evn:',
    'p.yaml:10: verbs.serial.evn: unknown key (did you mean "env"?)',
  ],
  [
    'a secret in an argument',
    '"{tool}"',
    '"{chap.password}"',
    'p.yaml:9: verbs.serial.exec.2: the secret {chap.password} would be visible here',
  ],
  [
    'a secret that is none',
    'secret: chap.password',
    'secret: chap.user',
    'p.yaml:10: verbs.serial.env.PASSWORD: chap.user is no secret',
  ],
  [
    'a missing column',
    '(?<serial>.+)',
    '(?<seral>.+)',
    'p.yaml:8: verbs.serial: the column serial is missing',
  ],
  ['an unknown column', 'text: size', 'text: sise', 'unknown column sise (did you mean "size"?)'],
  ['a broken pattern', '^(?<serial>.+)$', '^(?<serial>.+$', 'p.yaml:11'],
  ['a parameter as command', '[ask, "{iqn}"]', '["{tool}", "{iqn}"]', 'the command is a plain name or path'],
  ['a stray brace', '[ask, "{iqn}"]', '[ask, "{iqn"]', 'write {{ or }} for a brace'],
  [
    'two actions',
    'rows: {text: size}',
    'rows: {text: size}\n    read: /x',
    'a step has one action, this has exec and read',
  ],
  [
    'a companion of another action',
    'rows: {text: size}',
    'rows: {text: size}\n    to: /x',
    'p.yaml:15: verbs.capacity.to: does not go with exec',
  ],
  ['a key twice', 'name: asker', 'name: asker\nname: other', 'p.yaml:4'],
  ['a bad timeout', 'provides: iscsi', 'provides: iscsi\nrun: {timeout: 3 hours}', 'p.yaml:5: run.timeout'],
  ['no YAML', 'verbs:', 'verbs: [', 'p.yaml:'],
  [
    'a capability that is none',
    'provides: iscsi',
    'provides: iscsi\ncan: {fly: true}',
    'p.yaml:5: can.fly: unknown',
  ],
  [
    'a let that goes in circles',
    'provides: iscsi',
    'provides: iscsi\nlet: {a: "{b}", b: "{a}"}\nlock: "{a}"',
    'go in a circle',
  ],
];

for (const [what, from, to, said] of mistakes) {
  test(`${what} is refused with its place`, () => {
    const text = healthy.replace(from, to);
    assert.is.not(text, healthy);
    const problems = problemsOf(text);
    assert.ok(problems.includes(said), problems === '' ? 'accepted' : problems);
  });
}

test('one look stands in the place of three, and a pool has the one or all of the others', async () => {
  const text = await readFile(join(shipped, 'file.yaml'), 'utf8');
  assert.is(problemsOf(text, 'pool'), '');
  assert.match(
    problemsOf(text.replace('  capacity:', '  version:'), 'pool'),
    'needs the verb capacity, or look in its place',
  );
  const both = text.replace(
    'verbs:\n',
    'verbs:\n  look: { exec: [seen], rows: { json: "", cols: { total: t }, set: { kind: pool } } }\n',
  );
  assert.match(problemsOf(both, 'pool'), 'verbs.capacity: look stands in its place');
});

const machines = `profile: 1
role: vmm
name: machines
accepts: [block]
devices: [xvdb]
verbs:
  instances:
    exec: [x, list]
    rows: { lines: '^(?<id>\\d+) (?<name>\\S+) (?<state>\\S+) (?<uuid>\\S+)$' }
  disks:
    - exec: [x, show, "{instance.id}"]
      rows: { text: uuid, set: { kind: instance } }
    - exec: [x, disks, "{instance.id}"]
      rows: { lines: '^(?<number>\\d+) (?<device>\\S+)', join: number, set: { kind: disk } }
  attach.block:
    exec: [x, attach, "{instance.id}", "{device}", "{path}", "{disk.access}"]
  detach:
    exec: [x, detach, "{instance.id}", "{device}"]
`;

test('a profile that names machines by ids must be told the ids, and joins by a column it has', () => {
  assert.is(problemsOf(machines, 'vmm'), '');
  assert.match(
    problemsOf(machines.replace('(?<id>', '(?:'), 'vmm'),
    'verbs.instances: gives no column id, and a step uses {instance.id}',
  );
  assert.match(
    problemsOf(machines.replace('join: number', 'join: numer'), 'vmm'),
    'verbs.disks.join: no such column (did you mean "number"?)',
  );
  // Joined or not, a column that the role does not know would be lost.
  assert.match(problemsOf(machines.replace(' join: number,', ''), 'vmm'), 'unknown column number');
});

test('one that shows growth must be able to look at sizes', () => {
  const bold = machines.replace('accepts:', 'can: { growOnline: true }\naccepts:');
  assert.match(problemsOf(bold, 'vmm'), 'can.growOnline: needs the verb size, or a column sectors of disks');
  const size = "  size: { exec: [x, size, '{device}'], rows: { text: size } }\n";
  assert.is(problemsOf(`${bold}${size}`, 'vmm'), '');
  assert.is(problemsOf(bold.replace('(?<device>\\S+)', '(?<device>\\S+) (?<sectors>\\d+)'), 'vmm'), '');
});

test('all problems are told at once', () => {
  const text = healthy.replace('{tool}', '{tol}').replace('text: size', 'text: sise');
  assert.ok(problemsOf(text).split('\n').length >= 2);
});

test('a profile that others may write is refused with the remedy', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vbs-test-'));
  const file = join(dir, 'p.yaml');
  const failure = () => loadProfile(file, 'initiator').then(() => '', String);
  try {
    await writeFile(file, healthy, { mode: 0o644 });
    assert.is(await failure(), '');
    await chmod(file, 0o664);
    assert.match(await failure(), `chmod go-w ${file}`);
    await chmod(file, 0o644);
    await chmod(dir, 0o777);
    assert.match(await failure(), `chmod go-w ${dir}`);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test.run();
