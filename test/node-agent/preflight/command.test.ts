// `vbs-node-agent check`, in this process on a host in memory, and as the program itself.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execPath } from 'node:process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { binder } from '../../../node-agent/bindings.ts';
import type { AgentConfig } from '../../../node-agent/config.ts';
import { createRunCommand } from '../../../node-agent/exec/command.ts';
import { checkHost } from '../../../node-agent/preflight/command.ts';
import { ConfigError } from '../../../runtime/errors.ts';
import { Metrics } from '../../../runtime/metrics.ts';
import { recordingLog } from '../../fakes/log.ts';
import { type PlainHost, plainHost } from '../../fakes/plain-host.ts';

const test = suite('vbs-node-agent check');

const { signal } = new AbortController();
const roles = {
  volumeServer: {
    pools: [{ name: 'main', profile: 'lvm-thin', params: { vg: 'vbs', thinpool: 'tp' } }],
    target: { profile: 'tgt', params: {}, portals: ['192.0.2.1:3260'] },
  },
  hypervisor: {
    initiator: { profile: 'open-iscsi', params: {} },
    vmm: { profile: 'xen-xl', params: {} },
  },
};

async function check(host: PlainHost, given: Partial<AgentConfig>) {
  const config = {
    host: 'h',
    stateDir: '/nowhere',
    profileDirectories: [],
    iqnPrefix: 'iqn.2026-11.dev.vbs',
    ...given,
  } as unknown as AgentConfig;
  const { run, files } = plainHost(host);
  const bindRole = binder({
    config,
    run,
    files,
    log: recordingLog().log,
    metrics: new Metrics(),
    anyVersion: true,
  });
  const lines: string[] = [];
  const code = await checkHost({ config, bindRole, write: (line) => lines.push(line), signal });
  return { code, lines, text: lines.join('\n') };
}

test('a bare host: each role is looked at, and the end counts', async () => {
  const { code, lines, text } = await check({ texts: { '/proc/net/unix': '', '/proc/mounts': '' } }, roles);
  assert.is(code, 1);
  for (const tool of ['lvm', 'tgtadm', 'xl', 'iscsiadm']) {
    assert.match(text, `     ${tool} is not installed`);
  }
  assert.match(text, /^FAIL pool main \(lvm-thin\): its place can hold volumes$/m);
  const count = (state: string) => lines.filter((line) => line.startsWith(`${state.padEnd(4)} `)).length;
  assert.is(lines.at(-1), `${count('ok')} passed, ${count('warn')} warnings, ${count('FAIL')} failed`);
});

const OLD_XEN: PlainHost = {
  commands: {
    'xl info': 'xen_version            : 4.14.2\n',
  },
};

test('a version with a known fault is told, and the rest as well', async () => {
  const { code, text } = await check(OLD_XEN, { hypervisor: roles.hypervisor });
  assert.is(code, 1);
  assert.match(text, /^FAIL xen-xl: its version has no known fault$/m);
  assert.match(text, /^ok {3}xen-xl: the tool answers \(4\.14\.2\)$/m);
});

test('a configuration without roles, or with two that do not fit, is no configuration', async () => {
  const refusal = async (given: Partial<AgentConfig>) =>
    check({}, given).then(
      () => undefined,
      (error: unknown) => error,
    );
  assert.instance(await refusal({}), ConfigError);
  const qemu = { initiator: { profile: 'qemu', params: {} }, vmm: { profile: 'xen-xl', params: {} } };
  assert.instance(await refusal({ hypervisor: qemu }), ConfigError);
  const unknown = { ...roles.hypervisor, vmm: { profile: 'no-such', params: {} } };
  assert.instance(await refusal({ hypervisor: unknown }), ConfigError);
});

// The program itself.

const MAIN = path.join(import.meta.dirname, '../../../node-agent/main.ts');
const PROFILE = `profile: 1
role: target
name: plain
params:
  conf: { type: path, description: its file }
checks:
  - check: it is on
    why: else nothing goes
    setting: { file: "{conf}", key: power, default: "off", match: "^on$" }
    put: power = on
verbs:
`;
const VERBS = [
  ...['createTarget', 'deleteTarget', 'createLun', 'deleteLun', 'identify', 'createAccount', 'bindAccount'],
  ...['unbindAccount', 'deleteAccount', 'allow', 'deny', 'cut'],
];
const LOOKS = `  show: {exec: [x], rows: [{lines: "(?<iqn>a)(?<state>b)(?<tid>c)", set: {kind: target}}]}
  connections: {exec: [x], rows: {lines: "(?<session>a)(?<connection>b)(?<initiator>c)"}}
  accounts: {exec: [x], rows: {lines: "(?<user>.)"}}
`;

async function program(dir: string, args: readonly string[]) {
  const { exitCode, stdout, stderr } = await createRunCommand()(
    { file: execPath, args: [MAIN, ...args], timeoutMs: 30_000, kill: 'term' },
    signal,
  );
  return { exitCode, text: stdout.replaceAll(dir, 'DIR'), stderr: stderr.replaceAll(dir, 'DIR') };
}

test('the program prints file and line, changes nothing, and its exit code tells', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'vbs-check-'));
  try {
    const file = (name: string) => path.join(dir, name);
    await mkdir(file('pool'));
    await mkdir(file('profiles'));
    const verbs = VERBS.map((verb) => `  ${verb}: {exec: [x]}\n`).join('');
    await writeFile(file('profiles/plain.yaml'), `${PROFILE}${LOOKS}${verbs}`, { mode: 0o600 });
    await writeFile(file('plain.conf'), '# plain\npower = off\n');
    const config = {
      host: 'h',
      kubeconfig: file('not-there'),
      stateDir: file('state'),
      profileDirectories: [file('profiles')],
      volumeServer: {
        pools: [{ name: 'main', profile: 'file', params: { dir: file('pool') } }],
        target: { profile: 'plain', params: { conf: file('plain.conf') }, portals: ['192.0.2.1:3260'] },
      },
    };
    await writeFile(file('agent.yaml'), JSON.stringify(config));
    const before = await readdir(dir, { recursive: true });
    assert.equal(await program(dir, ['check', '--config', file('agent.yaml')]), {
      exitCode: 1,
      stderr: '',
      text: `FAIL plain: it is on
     power is off
     why: else nothing goes
     change DIR/plain.conf:2
         power = on
ok   pool main (file): its place can hold volumes (empty; make it a pool with vbs-node-agent prepare-pools)
1 passed, 0 warnings, 1 failed
`,
    });
    await writeFile(file('plain.conf'), 'power = on\n');
    const good = await program(dir, ['check', '--config', file('agent.yaml')]);
    assert.is(good.exitCode, 0);
    assert.match(good.text, '2 passed, 0 warnings, 0 failed');
    assert.equal(await readdir(dir, { recursive: true }), before);
    await writeFile(file('agent.yaml'), JSON.stringify({ ...config, hots: 'h' }));
    const bad = await program(dir, ['check', '--config', file('agent.yaml')]);
    assert.is(bad.exitCode, 2);
    assert.match(bad.stderr, 'hots');
  } finally {
    await rm(dir, { recursive: true });
  }
});

test.run();
