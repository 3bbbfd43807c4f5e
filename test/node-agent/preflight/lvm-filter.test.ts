import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isAccepted, readLvmSettings } from '../../../node-agent/preflight/lvm-filter.ts';

const test = suite('filters of LVM');

test('lvmconfig is read as it prints', () => {
  const text =
    'devices {\n\tglobal_filter=["a|^/dev/vda3$|","r|.*|"]\n\tscan=["/dev"]\n\tscan_lvs=0\n\tdir="/a \\"b"\n}\n';
  const settings = readLvmSettings(text);
  assert.equal(settings.get('global_filter'), ['a|^/dev/vda3$|', 'r|.*|']);
  assert.equal(settings.get('scan_lvs'), ['0']);
  assert.equal(settings.get('dir'), ['/a "b']);
  assert.equal(readLvmSettings('global_filter="r/.*iscsi.*/"').get('global_filter'), ['r/.*iscsi.*/']);
});

const cases: readonly (readonly [string, readonly string[], readonly string[], boolean])[] = [
  ['no pattern at all lets in', [], ['/dev/sdb'], true],
  ['all are let in', ['a|.*|'], ['/dev/sdb'], true],
  ['all are refused', ['r|.*|'], ['/dev/sdb', '/dev/disk/by-id/x'], false],
  ['the first pattern counts', ['r|^/dev/sdb$|', 'a|.*|'], ['/dev/sdb'], false],
  ['one name that is let in is enough', ['a|/by-id/x$|', 'r|.*|'], ['/dev/sdb', '/dev/disk/by-id/x'], true],
  [
    'a refused link refuses when no other name fits',
    ['r|/by-path/|'],
    ['/dev/sdb', '/dev/disk/by-path/x'],
    false,
  ],
  ['where no name fits, it is let in', ['r|^/dev/cdrom|'], ['/dev/sdb'], true],
  ['any delimiter', ['a/vda3$/', 'r{.*}'], ['/dev/sdb'], false],
  ['brackets close', ['a(^/dev/(sd|vd))', 'r|.*|'], ['/dev/sdb'], true],
];
for (const [what, filter, names, accepted] of cases) {
  test(what, () => assert.is(isAccepted(filter, names), accepted));
}

test('what is no pattern is not guessed at', () => {
  assert.throws(() => isAccepted(['x|.*|'], ['/dev/sdb']), /no pattern/);
  assert.throws(() => isAccepted(['a|[|'], ['/dev/sdb']));
});

test.run();
