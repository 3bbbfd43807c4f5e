import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findKey } from '../../../node-agent/preflight/key-value-file.ts';
import { placeOf } from '../../../node-agent/preflight/lvm-config-file.ts';

const test = suite('where a setting stands');

const ISCSID = `# iscsid.startup = /bin/x
node.startup = manual

#  iscsid.safe_logout = Yes
node.session.timeo.replacement_timeout = 120
node.startup = automatic
`;

test('a key = value file: the last line decides', () => {
  assert.equal(findKey(ISCSID, 'node.startup'), { line: 6, value: 'automatic' });
  assert.equal(findKey(ISCSID, 'node.session.timeo.replacement_timeout'), { line: 5, value: '120' });
});

test('a key that is not set belongs after its example, else at the end', () => {
  assert.equal(findKey(ISCSID, 'iscsid.safe_logout'), { line: 4 });
  assert.equal(findKey(ISCSID, 'node.session.scan'), { line: 6 });
  assert.equal(findKey('', 'node.session.scan'), { line: 0 });
});

const LVM = `# devices { scan_lvs = 7 }
config {
	checks = 1
}
devices {
	# A note with { and "
	dir = "/dev" # scan_lvs = 3
	scan = [ "/dev",
		 "/mnt = {" ]
	# scan_lvs = 0
	filter = [ "a|.*|" ]
	preferred_names = []
}
activation/auto = 1
`;
const at = (setting: string, ...texts: readonly string[]) =>
  placeOf(
    texts.map((text, index) => ({ path: `/f${index}`, text })),
    setting,
    '/fresh',
  );

test('lvm.conf: the line of a setting, with its section', () => {
  assert.equal(at('devices/filter', LVM), { how: 'change', place: '/f0:11', bare: false });
  assert.equal(at('config/checks', LVM), { how: 'change', place: '/f0:3', bare: false });
  assert.equal(at('devices/preferred_names', LVM).place, '/f0:12');
  assert.equal(at('activation/auto', LVM).place, '/f0:14');
});

test('lvm.conf: after its example, else after the beginning of its section, else with a section of its own', () => {
  assert.equal(at('devices/scan_lvs', LVM), { how: 'add', place: '/f0:10', bare: false });
  assert.equal(at('devices/global_filter', LVM), { how: 'add', place: '/f0:5', bare: false });
  assert.equal(at('global/event_activation', LVM), { how: 'add', place: '/f0:14', bare: true });
  assert.equal(at('devices/scan_lvs'), { how: 'make', place: '/fresh:1', bare: true });
});

test('the stronger file is looked into first, the weaker one is where a new setting belongs', () => {
  const local = 'local {\n}\ndevices/filter = [ "r|.*|" ]\n';
  assert.equal(at('devices/filter', local, LVM), { how: 'change', place: '/f0:3', bare: false });
  assert.equal(at('devices/scan_lvs', local, LVM), { how: 'add', place: '/f1:10', bare: false });
});

test.run();
