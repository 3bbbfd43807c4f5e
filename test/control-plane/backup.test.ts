import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backupName, backupTime, outdatedBackups } from '../../control-plane/backup.ts';

const test = suite('which backups are kept');
const NOW = new Date('2026-11-27T04:05:06Z');
const daysAgo = (days: number) => backupName(new Date(NOW.getTime() - days * 86_400_000));

test('a name says when it was made', () => {
  assert.is(backupName(NOW), 'vbs-2026-11-27T040506Z.tar.gz');
  assert.equal(backupTime(backupName(NOW)), NOW);
  for (const name of ['.vbs-2026-11-27T040506Z.tar.gz', 'vbs-2026-11-27.tar.gz', 'other.tar.gz']) {
    assert.is(backupTime(name), undefined, name);
  }
});

test('older ones go, and nothing else', () => {
  const names = [0, 1, 2, 13, 15, 40].map(daysAgo);
  assert.equal(outdatedBackups([...names, 'notes.txt'], NOW, 14), [daysAgo(15), daysAgo(40)]);
});

test('the newest three stay, however old they are', () => {
  const names = [100, 101, 102, 103].map(daysAgo);
  assert.equal(outdatedBackups(names, NOW, 14), [daysAgo(103)]);
  assert.equal(outdatedBackups([daysAgo(100)], NOW, 14), []);
});

test('a clock that jumped ahead leaves the newest three', () => {
  const names = [0, 1, 2, 3].map(daysAgo);
  assert.equal(outdatedBackups(names, new Date('2040-01-01'), 14), [daysAgo(3)]);
});

test.run();
