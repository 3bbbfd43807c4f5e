import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exitCodeOf, type Facts, findings, linesOf } from '../../../control-plane/status/plan.ts';

const test = suite('what status says');
const NOW = new Date('2026-11-27T12:00:00Z');
const hoursAgo = (hours: number) => new Date(NOW.getTime() - hours * 3_600_000);
const daysOn = (days: number) => hoursAgo(-24 * days);
const unit = (name: string) => ({
  unit: name,
  state: 'active',
  since: hoursAgo(5),
  memoryBytes: 100 * 1024 ** 2,
});
const ready = (status: 'True' | 'False' | 'Unknown', reason: string) => [
  { type: 'Ready', status, reason, message: 'last seen 11:02', lastTransitionTime: '2026-11-27T11:00:00Z' },
];

const well: Facts = {
  now: NOW,
  version: '1.0.0',
  appliedVersion: '1.0.0',
  trouble: undefined,
  units: [unit('vbs-etcd.service'), unit('vbs-apiserver.service')],
  timers: [unit('vbs-control-plane-backup.timer')],
  certificates: [
    { what: 'the CA', isCa: true, notAfter: daysOn(3000) },
    { what: 'the API server', isCa: false, notAfter: daysOn(200) },
  ],
  backups: [
    { file: '/var/backups/vbs/old', at: hoursAgo(80), sizeBytes: 5 },
    { file: '/var/backups/vbs/new', at: hoursAgo(20), sizeBytes: 5 },
  ],
  store: {
    version: '3.7.3',
    sizeBytes: 10 * 1024 ** 2,
    usedBytes: 1024 ** 2,
    quotaBytes: 2 * 1024 ** 3,
    alarms: [],
  },
  apiServer: { version: 'v1.37.2', url: 'https://192.0.2.10:6443' },
  leader: { holder: 'machine-1', renewedAt: hoursAgo(0), leaseSeconds: 15 },
  classes: 1,
  hosts: [{ kind: 'Hypervisor', name: 'xen07', conditions: ready('True', 'Heard'), agentVersion: '1.0.0' }],
};

const said = (facts: Facts): string => linesOf(findings(facts)).join('\n');

test('all is well', () => {
  assert.is(exitCodeOf(findings(well)), 0, said(well));
  assert.match(said(well), 'ok   vbs-etcd runs since 2026-11-27 07:00 (5 h), 100 MiB');
  assert.match(said(well), 'the last of 2 backups is 20 h old: /var/backups/vbs/new');
  assert.match(said(well), 'Hypervisor xen07 (agent 1.0.0) is heard');
});

test('what is still to be done is no trouble', () => {
  const fresh = { ...well, hosts: [], classes: 0 };
  assert.is(exitCodeOf(findings(fresh)), 0);
  assert.match(said(fresh), 'todo no host has enrolled yet\n     -> vbs-control-plane enroll HOST');
  assert.match(said(fresh), 'todo there is no VolumeClass');
});

const troubles: readonly (readonly [what: string, change: Partial<Facts>, words: RegExp])[] = [
  [
    'a service that failed',
    { units: [{ unit: 'vbs-etcd.service', state: 'failed' }] },
    /FAIL vbs-etcd is failed\n {5}-> journalctl -u vbs-etcd/,
  ],
  [
    'a timer that was disabled',
    { timers: [{ unit: 'a.timer', state: 'inactive' }] },
    /WARN a\.timer is inactive\n.*enable --now a\.timer/,
  ],
  [
    'an upgrade that was not finished',
    { appliedVersion: '0.9.0' },
    /WARN .*policies of 0\.9\.0\n.*vbs-control-plane upgrade/,
  ],
  [
    'the API server',
    { apiServer: 'connection refused' },
    /FAIL the API server does not answer: connection refused\n.*journalctl/,
  ],
  [
    'a store with which nothing may be started, instead of remedies that cannot work',
    {
      trouble: { what: 'the store is gone', remedy: 'vbs-control-plane restore FILE' },
      units: [{ unit: 'vbs-etcd.service', state: 'inactive' }],
    },
    /^FAIL the store is gone\n {5}-> vbs-control-plane restore FILE\nFAIL vbs-etcd is inactive\n(?!.*systemctl restart)/,
  ],
  ['etcd', { store: 'context deadline exceeded' }, /FAIL etcd does not answer: context deadline/],
  [
    'an alarm',
    { store: { version: '3.7.3', sizeBytes: 1, usedBytes: 1, quotaBytes: 2, alarms: ['NOSPACE'] } },
    /FAIL .*alarm NOSPACE.*\n.*defrag; .*alarm disarm/,
  ],
  [
    'a store that fills',
    { store: { version: '3.7.3', sizeBytes: 9, usedBytes: 9, quotaBytes: 10, alarms: [] } },
    /WARN .*almost full/,
  ],
  ['no leader', { leader: undefined }, /FAIL no controller leads\n.*vbs-controller/],
  [
    'a leader that fell silent',
    { leader: { holder: 'x', renewedAt: hoursAgo(1), leaseSeconds: 15 } },
    /FAIL no controller leads/,
  ],
  [
    'a certificate that was not renewed',
    { certificates: [{ what: 'the API server', isCa: false, notAfter: daysOn(89) }] },
    /WARN the certificate of the API server has 89 days left\n.*renew/,
  ],
  [
    'one that ended',
    { certificates: [{ what: 'the API server', isCa: false, notAfter: daysOn(-1) }] },
    /FAIL the certificate of the API server ended/,
  ],
  [
    'one that is missing',
    { certificates: [{ what: 'x', isCa: false, notAfter: undefined }] },
    /FAIL .* missing .*\n.*init/,
  ],
  [
    'a CA in its last year',
    { certificates: [{ what: 'the CA', isCa: true, notAfter: daysOn(300) }] },
    /WARN the certificate of the CA has 300 days left\n.*renew --ca/,
  ],
  [
    'a backup that was made while the clock was ahead',
    { backups: [{ file: 'f', at: daysOn(900), sizeBytes: 1 }] },
    /WARN there is no backup/,
  ],
  ['no backup', { backups: [] }, /WARN there is no backup\n.*vbs-control-plane backup/],
  [
    'an old backup',
    { backups: [{ file: 'f', at: hoursAgo(49), sizeBytes: 1 }] },
    /WARN the last of 1 backups is 2 days old/,
  ],
  [
    'a silent host',
    {
      hosts: [
        { kind: 'Hypervisor', name: 'xen07', conditions: ready('Unknown', 'HostSilent'), agentVersion: '1' },
      ],
    },
    /WARN Hypervisor xen07 \(agent 1\): HostSilent: last seen 11:02\n.*kubectl describe hypervisor xen07/,
  ],
];
for (const [what, change, words] of troubles) {
  test(`${what} is told with its remedy, and by the exit code`, () => {
    const facts = { ...well, ...change };
    assert.match(said(facts), words);
    assert.is(exitCodeOf(findings(facts)), 1);
  });
}

test.run();
