import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RowsFormat } from '../../../node-agent/profiles/format.ts';
import { asList } from '../../../node-agent/profiles/format.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import { RowsError } from '../../../node-agent/profiles/row.ts';
import { readRows } from '../../../node-agent/profiles/rows.ts';

const test = suite('rows');
const root = join(import.meta.dirname, '../../..');
const fixture = (name: string): string => readFileSync(join(root, 'test/fixtures', name), 'utf8');
const formatsOf = async (profile: string, role: 'target' | 'vmm' | 'initiator', verb: string) => {
  const { format } = await loadProfile(join(root, 'node-agent/profiles/shipped', `${profile}.yaml`), role);
  return asList(format.verbs[verb]).flatMap((step) => asList(step.rows));
};
const read = (formats: readonly RowsFormat[], text: string) =>
  formats.flatMap((format) => readRows(format, { text, entries: [] }));
const refused = (work: () => unknown): void => {
  assert.throws(work, (error: unknown) => error instanceof RowsError);
};

const show = await formatsOf('tgt', 'target', 'show');
const disks = await formatsOf('libvirt-virsh', 'vmm', 'disks');
const session = fixture('tgt/tgtadm --lld iscsi --op show --mode target (session).txt');
const running = fixture('libvirt/virsh dumpxml --domain UUID (running, iscsi disk).xml');

test('rows of one thing may be joined', () => {
  const format: RowsFormat = {
    lines: '^(?<of>\\d+)/(?:device = (?<device>\\w+)|state = (?<state>\\d))$',
    skip: '^\\d+/other = ',
    join: 'of',
    set: { kind: 'disk' },
    map: { state: { 4: 'attached', 5: 'closing' } },
  };
  const text = '7/device = b\n7/other = x\n9/device = c\n9/state = 5\n7/state = 4\n8/state = 4\n';
  assert.equal(read([format], text), [
    { device: 'b', state: 'attached', kind: 'disk' },
    { device: 'c', state: 'closing', kind: 'disk' },
    { state: 'attached', kind: 'disk' },
  ]);
  refused(() => read([{ ...format, lines: '^(?:(?<of>\\d+)/)?.*$' }], 'no number'));
});

test('a last line without its end, a missing beginning or end, and half a row are refused', () => {
  const format: RowsFormat = {
    lines: '^(?<size>\\d+)$',
    skip: '^(?:begin|end)$',
    whole: '^begin\\n[^]*\\nend\\n$',
  };
  assert.equal(read([format], 'begin\n12345\nend\n'), [{ size: '12345' }]);
  for (const text of ['', 'begin\n', '12345\nend\n', 'begin\n12345\n', 'begin\n12345\nend']) {
    refused(() => read([format], text));
  }
  refused(() => read([{ lines: '^(?<size>\\d+)$' }], '1\n23'));
  refused(() => read([{ blocks: ['^(?<size>\\d+)$'] }], '1\n23'));
  refused(() => read([{ lines: '^(?<name>.*)$' }], 'a\0b\n'));
  refused(() => read([{ json: '', cols: { name: 'name' } }], '{"name":"a\u{fffd}"}'));
  assert.equal(read([{ lines: '^(?<name>.+)$' }], 'a\u{fffd}b\n'), [{ name: 'a\u{fffd}b' }]);
  const joined: RowsFormat = {
    lines: '^(?<of>\\d+)/(?:name = (?<name>\\w+)|path = (?<path>\\w+))$',
    join: 'of',
    need: ['name', 'path'],
  };
  assert.equal(read([joined], '7/name = a\n7/path = b\n'), [{ name: 'a', path: 'b' }]);
  refused(() => read([joined], '7/name = a\n7/path = b\n8/name = c\n'));
});

test('tgt shows targets, LUNs, sessions, accounts and access', () => {
  const rows = read(show, session);
  const ours = rows.filter(({ tid }) => tid === '5');
  const iqn = 'iqn.2026-11.dev.vbs:vol0123456789abcdef0';
  const of = (kind: string) => ours.filter((row) => row.kind === kind);
  assert.equal(of('target'), [{ kind: 'target', tid: '5', iqn, state: 'ready' }]);
  assert.equal(of('lun')[1], {
    kind: 'lun',
    tid: '5',
    iqn,
    lun: '1',
    path: '/srv/vbs/a.raw',
    serial: 'vol0123456789abcdef0',
    scsiID: 'VBSvol0123456789abcdef0',
    online: 'true',
    readOnly: 'false',
    type: 'disk',
  });
  assert.equal(
    of('session').map(({ initiator }) => initiator),
    ['iqn.2026-11.dev.vbs:host1'],
  );
  assert.equal(
    of('account').map(({ user }) => user),
    ['u1'],
  );
  assert.equal(
    of('access').map(({ initiator }) => initiator),
    ['iqn.2026-11.dev.vbs:host1'],
  );
  const foreign = rows.filter(({ tid, kind }) => tid === '9' && kind === 'access');
  assert.equal(
    foreign.map(({ initiator }) => initiator),
    ['ALL'],
  );
});

test('a tgt without targets has no rows', () => {
  assert.equal(read(show, ''), []);
});

test('an answer of tgt that is cut short is refused, wherever a section is missing', () => {
  const lines = session.split('\n');
  const end = lines.findIndex((line) => /^Target/.test(line) && line !== lines[0]);
  const sections = lines.slice(0, end).findLastIndex((line) => line.includes('ACL information'));
  for (let kept = 1; kept <= sections; kept += 1) {
    refused(() => read(show, lines.slice(0, kept).join('\n')));
  }
});

test('connections and accounts of tgt', async () => {
  const conn = await formatsOf('tgt', 'target', 'connections');
  assert.equal(read(conn, fixture('tgt/tgtadm --lld iscsi --op show --mode conn --tid 5.txt')), [
    { session: '1', connection: '0', initiator: 'iqn.2026-11.dev.vbs:host1' },
  ]);
  const accounts = await formatsOf('tgt', 'target', 'accounts');
  const rows = read(accounts, fixture('tgt/tgtadm --lld iscsi --op show --mode account.txt'));
  assert.equal(rows.map(({ user }) => user).toSorted(), ['u1', 'u2']);
});

test('libvirt shows a running machine with its disk, and a stopped one without an id', () => {
  const [instance, disk] = read(disks, running);
  assert.is(instance?.uuid, 'a0c2f2d8-92fd-4688-853c-a32a0db27281');
  assert.is(instance?.live, '1');
  assert.equal(disk, {
    kind: 'disk',
    device: 'vdb',
    serial: 'vol0123456789abcdef0',
    alias: 'ua-vbs-vol0123456789abcdef0',
    source: 'iqn.2026-11.dev.vbs:vol0123456789abcdef0/1',
    grant: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111',
  });
  const [stopped] = read(disks, fixture('libvirt/virsh dumpxml --domain UUID (shut off).xml'));
  assert.is(stopped?.live, undefined);
});

test('XML that is cut short or is something else is refused', () => {
  for (const cut of [10, 200, 1000, running.length - 10]) {
    refused(() => read(disks, running.slice(0, cut)));
  }
  refused(() => read(disks, ''));
  refused(() => read(disks, '<network/>'));
  refused(() => read(disks, 'error: no'));
});

test('lists of machines and secrets', async () => {
  const [, , , all] = await formatsOf('libvirt-virsh', 'vmm', 'instances');
  assert.ok(all);
  const rows = read([all], fixture('libvirt/virsh list --uuid --name --all.txt'));
  assert.equal(
    rows.map(({ name }) => name),
    ['vm1', 'a0c2f2d8-92fd-4688-853c-a32a0db27282', 'web & db'],
  );
  const secrets = await formatsOf('libvirt-virsh', 'vmm', 'secrets');
  assert.equal(read(secrets, fixture('libvirt/virsh secret-list.txt')), [
    { grant: '7d0b0a4e-5f6d-4a5e-9c39-0a2c7b0a1111' },
  ]);
});

test('a device says its serial and size', async () => {
  const serial = await formatsOf('qemu', 'initiator', 'serial');
  assert.equal(read(serial, fixture('libiscsi/iscsi-inq --evpd 1 --pagecode 128.txt')), [
    { serial: 'vol0123456789abcdef0' },
  ]);
  const size = await formatsOf('qemu', 'initiator', 'capacity');
  assert.equal(read(size, fixture('libiscsi/iscsi-readcapacity16 --size.txt')), [{ size: '67108864' }]);
  refused(() => read(size, '67108864 bytes'));
});

test('JSON keeps every digit, and only a list that is there is a list', () => {
  const format = { json: 'report/0/lv', cols: { name: 'lv_name', size: 'lv_size' } };
  const text = '{"report":[{"lv":[{"lv_name":"a","lv_size":9223372036854775807}]}]}';
  assert.equal(read([format], text), [{ name: 'a', size: '9223372036854775807' }]);
  assert.equal(read([format], '{"report":[{"lv":[]}]}'), []);
  for (const other of [
    '',
    '{}',
    '{"report":[]}',
    '{"report":[{}]}',
    '{"report":[{"lv":["a"]}]}',
    'null',
    '[',
  ]) {
    refused(() => read([format], other));
  }
});

test('an unknown word is refused unless the map says what others mean', () => {
  const entries = [{ state: '7' }];
  const map = { state: { '4': 'connected' } };
  refused(() => readRows({ map }, { text: '', entries }));
  const lenient = { map: { state: { '4': 'connected', '*': 'unknown' } } };
  assert.equal(readRows(lenient, { text: '', entries }), [{ state: 'unknown' }]);
});

test('no text makes a parser fail in another way than RowsError', () => {
  const json = { json: 'a/0', cols: { x: 'y/z' } };
  const formats: readonly RowsFormat[] = [...show, ...disks, json, { lines: '^(?<a>\\d+)$' }];
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.array(fc.constantFrom(...session.split('\n'))).map((lines) => lines.join('\n')),
    fc.nat(running.length).map((end) => running.slice(0, end)),
    fc
      .tuple(fc.nat(session.length), fc.nat(60))
      .map(([at, cut]) => session.slice(0, at) + session.slice(at + cut)),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(...formats), (given, format) => {
      try {
        readRows(format, { text: given, entries: [] });
      } catch (error) {
        assert.instance(error, RowsError);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('no shortened answer of tgt loses a target without being refused', () => {
  fc.assert(
    fc.property(fc.nat(session.length - 1), (end) => {
      const text = session.slice(0, end);
      const started = text.split('\n').filter((line) => /^Target \d+: /.test(line)).length;
      try {
        const targets = read(show, text).filter(({ kind }) => kind === 'target');
        assert.is(targets.length, started);
      } catch (error) {
        assert.instance(error, RowsError);
      }
    }),
  );
});

test.run();
