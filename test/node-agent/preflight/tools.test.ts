// Checks of targets, pools and hypervisors that are neither LVM nor open-iscsi.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseProfile } from '../../../node-agent/profiles/load.ts';
import { ProfileError } from '../../../node-agent/profiles/problems.ts';
import type { PlainHost, Said } from '../../fakes/plain-host.ts';
import { findingOf, judged, printed } from './checked.ts';

const test = suite('checks of tools');

const tgt = { role: 'target', name: 'tgt' } as const;
const DPKG = 'dpkg-query --show --showformat=\x24{Version} tgt';
const CHANGES = 'zcat --force /usr/share/doc/tgt/changelog.Debian.gz';
const chap = (commands: Readonly<Record<string, Said>>) => findingOf({ commands }, tgt, 'passwords cannot');

test('tgt has its CHAP fix by version, by package, or by changelog', async () => {
  assert.is(judged(await chap({ 'tgtadm --version': '1.0.93\n' })), 'ok');
  assert.is(judged(await chap({ 'tgtadm --version': '1.0.85\n', [DPKG]: '1:1.0.85-1+deb12u1' })), 'ok');
  const other = { 'tgtadm --version': '1.0.85\n', [DPKG]: '1:1.0.85-1.1' };
  assert.is(judged(await chap({ ...other, [CHANGES]: '* chap: (CVE-2024-45751)' })), 'ok');
});

test('tgt without it is a faulty tool', async () => {
  const finding = await chap({ 'tgtadm --version': '1.0.85\n', [DPKG]: '1:1.0.85-1' });
  assert.is(judged(finding), 'FAIL FaultyTool');
  assert.match(printed(finding), 'run\n         apt-get update && apt-get install tgt');
});

const lio = { role: 'target', name: 'lio' } as const;
const restores = (said: Said) =>
  findingOf(
    { commands: { 'systemctl is-enabled rtslib-fb-targetctl.service': said } },
    lio,
    'no service restores targets (rtslib',
  );

test('a service that restores targets at boot is a failure', async () => {
  assert.is(
    printed(await restores('enabled\n')),
    `FAIL lio: no service restores targets (rtslib-fb-targetctl.service)
     rtslib-fb-targetctl.service is enabled
     why: at boot it would open what was saved once to hosts that may have lost the volume since; stopped, it tears all targets down
     run
         systemctl disable rtslib-fb-targetctl.service`,
  );
  assert.is(judged(await restores({ exitCode: 1, stdout: 'masked\n' })), 'ok');
  const unknown = 'Failed to get unit file state for rtslib-fb-targetctl.service: No such file or directory';
  assert.is(judged(await restores({ exitCode: 1, stderr: unknown })), 'ok');
});

test('the kernel’s target needs its modules', async () => {
  const modprobe = 'modprobe --dry-run --quiet --all target_core_iblock iscsi_target_mod';
  const modules = (said: Said) => findingOf({ commands: { [modprobe]: said } }, lio, 'the kernel can export');
  assert.is(judged(await modules('')), 'ok');
  assert.is(judged(await modules({ exitCode: 1 })), 'FAIL HostUnsafe');
  const reached = (texts: PlainHost['texts']) =>
    findingOf({ texts: texts ?? {} }, lio, "the kernel's target can");
  assert.is(judged(await reached({ '/sys/kernel/config/target/version': 'v5.0' })), 'ok');
  assert.match(printed(await reached({})), 'make /etc/modules-load.d/vbs.conf:1\n         target_core_mod\n');
});

const pool = { role: 'pool', name: 'lvm-thin', params: { vg: 'v', thinpool: 't' } } as const;

test('a thin pool needs its module, and its checker is missed', async () => {
  const modprobe = 'modprobe --dry-run --quiet dm_thin_pool';
  const thin = (said: Said) => findingOf({ commands: { [modprobe]: said } }, pool, 'the kernel has thin');
  assert.is(judged(await thin('')), 'ok');
  assert.is(judged(await thin({ exitCode: 1 })), 'FAIL HostUnsafe');
  assert.is(judged(await findingOf({ texts: { '/usr/sbin/thin_check': '' } }, pool, 'thin pools')), 'ok');
  assert.match(printed(await findingOf({}, pool, 'thin pools')), 'apt-get install thin-provisioning-tools');
});

test('a tool of a version with a known fault, and one that is not there', async () => {
  const xen = { role: 'vmm', name: 'xen-xl' } as const;
  const info = (version: string) => ({
    commands: { 'xl info': `host : x\nxen_version            : ${version}\n` },
  });
  assert.is(judged(await findingOf(info('4.17.7'), xen, 'its version')), 'ok');
  const finding = await findingOf(info('4.14.2'), xen, 'its version');
  assert.is(judged(finding), 'FAIL FaultyTool');
  assert.match(printed(finding), 'version 4.14.2 cannot be used: ');
  assert.match(printed(await findingOf(info('4.17.7'), xen, 'the tool answers')), '(4.17.7)');
  assert.match(printed(await findingOf({}, xen, 'the tool answers')), 'xl is not installed');
});

const problemsOf = (checks: string): string => {
  const head = 'profile: 1\nrole: initiator\nname: own\nprovides: iscsi\nverbs:\n';
  const verbs = `  serial: {exec: [ask], rows: {text: serial}}\n  capacity: {exec: [ask], rows: {text: size}}\n`;
  try {
    parseProfile(`${head}${verbs}${checks}`, 'p.yaml', 'initiator');
  } catch (error) {
    assert.instance(error, ProfileError);
    return (error as ProfileError).message;
  }
  return '';
};

test('a profile of one’s own may have checks, or none', () => {
  assert.is(problemsOf(''), '');
  assert.is(problemsOf('checks:\n  - {check: a, why: b, wrong: c, steps: {stat: "/x/{iqnPrefix}"}}\n'), '');
});

test('what is wrong with a check is told with its line', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{check: a, why: b}', 'p.yaml:9: checks.0: needs one of setting, steps, same, rule'],
    ['{check: a, why: b, wrong: c, steps: {mkdir: /x}}', 'checks.0.steps.mkdir: a check changes nothing'],
    ['{check: a, why: b, steps: {stat: /x}}', 'checks.0: needs wrong'],
    ['{check: a, why: b, put: c, setting: {file: /x, key: k}}', 'checks.0.setting: needs one of match, min'],
    ['{check: a, why: b, wrong: c, steps: {stat: "{nothing}"}}', 'unknown parameter {nothing}'],
    ['{check: a, why: b, wrong: c, steps: {stat: "{chap.password}"}}', 'unknown parameter {chap.password}'],
    ['{check: a, why: b, rule: other}', 'checks.0.rule: "other" is unknown'],
  ];
  for (const [check, wanted] of cases) {
    assert.match(problemsOf(`checks:\n  - ${check}\n`), wanted);
  }
});

test.run();
