// A host's own disk in memory, as far as the agents' records need one.
import type { Files } from '../../node-agent/exec/files.ts';

const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: '${path}'`), { code });

const unplayed = (what: string) => () => Promise.reject(failure('ENOSYS', what));

/** Plays what RecordStore uses; every other operation fails with ENOSYS. */
export function memoryFiles(): Files {
  const texts = new Map<string, string>();
  const directories = new Map<string, Set<string>>();
  const split = (path: string): readonly [string, string] => {
    const slash = path.lastIndexOf('/');
    return [path.slice(0, slash), path.slice(slash + 1)];
  };
  const write = async (path: string, text: string): Promise<void> => {
    const [directory, name] = split(path);
    const names = directories.get(directory);
    if (names === undefined) {
      throw failure('ENOENT', path);
    }
    names.add(name);
    texts.set(path, text);
  };
  return {
    read: async (path) => {
      const text = texts.get(path);
      if (text === undefined) {
        throw failure('ENOENT', path);
      }
      return text;
    },
    write,
    writeAtomic: write,
    mkdir: async (path) => {
      if (directories.has(path)) {
        throw failure('EEXIST', path);
      }
      directories.set(path, new Set());
    },
    list: async (path) => {
      const names = directories.get(path);
      if (names === undefined) {
        throw failure('ENOENT', path);
      }
      return [...names];
    },
    unlink: async (path) => {
      const [directory, name] = split(path);
      if (!texts.delete(path)) {
        throw failure('ENOENT', path);
      }
      directories.get(directory)?.delete(name);
    },
    rmdir: unplayed('rmdir'),
    rename: unplayed('rename'),
    copyRange: unplayed('copyRange'),
    hashRange: unplayed('hashRange'),
    isZero: unplayed('isZero'),
    extend: unplayed('extend'),
    sync: unplayed('sync'),
    stat: unplayed('stat'),
    symlink: unplayed('symlink'),
    readlink: unplayed('readlink'),
    glob: unplayed('glob'),
    space: unplayed('space'),
  };
}
